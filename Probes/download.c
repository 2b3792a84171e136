// Downloads http://ADDRESS:PORT/NAME to FILE, and says who it is and whom it is connected to: download ADDRESS PORT NAME FILE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int count, char **words) {
    if (count != 5) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[2]))}, peer;
    socklen_t length = sizeof peer;
    if (inet_pton(AF_INET, words[1], &address.sin_addr) != 1) return 2;
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) fail("connect");
    if (getpeername(connection, (struct sockaddr *)&peer, &length)) fail("getpeername");
    printf("user %d, connected to %s\n", (int)geteuid(), inet_ntoa(peer.sin_addr));

    if (dprintf(connection, "GET /%s HTTP/1.0\r\n\r\n", words[3]) < 0) fail("write");
    FILE *response = fdopen(connection, "r"), *file = fopen(words[4], "w");
    if (!response || !file) fail(words[4]);
    static char buffer[65536];
    while (fgets(buffer, sizeof buffer, response) && strcmp(buffer, "\r\n")) {}
    size_t size;
    while ((size = fread(buffer, 1, sizeof buffer, response)) > 0) fwrite(buffer, 1, size, file);
    if (ferror(response) || fclose(file)) fail("read");
    return 0;
}
