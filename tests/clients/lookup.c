/* Looks names up as any program of its C library does, and prints what came of each: "NAME ADDRESS…" or "NAME EAI_…". */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

static const char *word(int code) {
    switch (code) {
    case EAI_NONAME: return "EAI_NONAME";
    case EAI_AGAIN: return "EAI_AGAIN";
    case EAI_FAIL: return "EAI_FAIL";
#ifdef EAI_NODATA
    case EAI_NODATA: return "EAI_NODATA";
#endif
    default: return "EAI_OTHER";
    }
}

int main(int count, char **names) {
    for (int at = 1; at < count; at++) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
        int code = getaddrinfo(names[at], NULL, &hints, &found);
        printf("%s", names[at]);
        if (code != 0)
            printf(" %s", word(code));
        for (struct addrinfo *one = found; code == 0 && one; one = one->ai_next) {
            char text[INET6_ADDRSTRLEN];
            const void *address = one->ai_family == AF_INET
                ? (const void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr
                : (const void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr;
            printf(" %s", inet_ntop(one->ai_family, address, text, sizeof text));
        }
        printf("\n");
    }
    return 0;
}
