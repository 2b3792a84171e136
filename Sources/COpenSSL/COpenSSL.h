// OpenSSL 3, and what of it Swift cannot import by itself. Nothing here holds logic.
#pragma once

// As in CLinux.h: both modules see the C library's headers, and must see the same.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

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

// A variadic call.
static inline EVP_PKEY *usl_p256_key(void) { return EVP_EC_gen("P-256"); }

// Macros over casts, calls and controls.
static inline void usl_free(void *memory) { OPENSSL_free(memory); }
static inline int usl_bio_type_socket(void) { return BIO_TYPE_SOCKET; }
static inline void usl_bio_set_socket(BIO *bio, int number) { BIO_set_fd(bio, number, BIO_NOCLOSE); }
static inline int usl_bio_socket(BIO *bio) { return (int)BIO_get_fd(bio, NULL); }
static inline int usl_bio_kernel_sends(BIO *bio) { return BIO_get_ktls_send(bio); }
static inline void usl_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline void usl_bio_set_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline long usl_bio_memory(BIO *bio, char **start) { return BIO_get_mem_data(bio, start); }
static inline int usl_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int usl_ssl_ctx_set_signatures(SSL_CTX *context, const char *list) { return (int)SSL_CTX_set1_sigalgs_list(context, list); }
static inline uint64_t usl_ssl_op_ignore_unexpected_eof(void) { return SSL_OP_IGNORE_UNEXPECTED_EOF; }
static inline uint64_t usl_ssl_op_no_anti_replay(void) { return SSL_OP_NO_ANTI_REPLAY; }
static inline uint64_t usl_ssl_op_no_compression(void) { return SSL_OP_NO_COMPRESSION; }
static inline uint64_t usl_ssl_op_no_renegotiation(void) { return SSL_OP_NO_RENEGOTIATION; }
static inline uint64_t usl_ssl_op_enable_ktls(void) { return SSL_OP_ENABLE_KTLS; }

// EVP_MAC-HMAC(7), of a ticket.
static inline int usl_ticket_mac(EVP_MAC_CTX *context, const void *key, size_t length) {
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key, length),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(context, parameters);
}

// Where the bytes of one TLS record are brought together (RFC 8446, 5.1): one for each thread, in use during one call.
static inline void *usl_record_scratch(void) {
    static _Thread_local unsigned char record[16384];
    return record;
}
