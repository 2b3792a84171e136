// OpenSSL 3, and what of it Swift cannot import by itself. Nothing here holds logic.
#pragma once

// As in CLinux.h: both modules see the C library's headers, and must see the same.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

// EVP_KDF-HKDF(7). OpenSSL's parameter lists are arrays of pointers to const-less memory, which it only reads here.
static inline int usl_hkdf_sha256(EVP_KDF_CTX *context, const void *secret, size_t secret_length, const void *salt,
                                  size_t salt_length, const void *info, size_t info_length, void *output,
                                  size_t output_length) {
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_length),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(context, (unsigned char *)output, output_length, parameters);
}
