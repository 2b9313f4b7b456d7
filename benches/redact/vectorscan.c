/* Goes over a file with Vectorscan in streaming mode, 16 KiB at a time, and prints its speed in GB/s.
 *
 * usage: vectorscan EXPRESSIONS INPUT
 * EXPRESSIONS has one expression a line; those that Vectorscan can't compile are left out and counted. */
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 16 << 10, RULES = 4096, ROUNDS = 3 };

static int count(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *matches) {
    (void)id, (void)from, (void)to, (void)flags;
    ++*(unsigned long long *)matches;
    return 0;
}

static void stop(const char *what) {
    fprintf(stderr, "vectorscan: %s\n", what);
    exit(1);
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) stop(path);
    long size = ftell(file);
    rewind(file);
    char *text = size < 0 ? NULL : malloc((size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) stop(path);
    fclose(file);
    text[size] = 0;
    *length = (size_t)size;
    return text;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 3) stop("usage: vectorscan EXPRESSIONS INPUT");
    size_t length;
    char *lines = read_file(argv[1], &length);
    const char *rules[RULES];
    unsigned flags[RULES], ids[RULES], taken = 0, left_out = 0;
    for (char *line = strtok(lines, "\n"); line && taken < RULES; line = strtok(NULL, "\n")) {
        hs_database_t *alone;
        hs_compile_error_t *error;
        if (hs_compile(line, 0, HS_MODE_STREAM, NULL, &alone, &error) != HS_SUCCESS) {
            hs_free_compile_error(error);
            left_out++;
            continue;
        }
        hs_free_database(alone);
        rules[taken] = line, flags[taken] = 0, ids[taken] = taken;
        taken++;
    }
    hs_database_t *database;
    hs_compile_error_t *error;
    if (hs_compile_multi(rules, flags, ids, taken, HS_MODE_STREAM, NULL, &database, &error) != HS_SUCCESS)
        stop(error->message);
    hs_scratch_t *scratch = NULL;
    if (hs_alloc_scratch(database, &scratch) != HS_SUCCESS) stop("no scratch memory");
    size_t state;
    hs_stream_size(database, &state);

    char *input = read_file(argv[2], &length);
    double best = 1e9;
    unsigned long long matches = 0;
    for (int round = 0; round < ROUNDS; round++) {
        hs_stream_t *stream;
        matches = 0;
        double begun = seconds();
        if (hs_open_stream(database, 0, &stream) != HS_SUCCESS) stop("no stream");
        for (size_t at = 0; at < length; at += CHUNK) {
            unsigned piece = (unsigned)(length - at < CHUNK ? length - at : CHUNK);
            if (hs_scan_stream(stream, input + at, piece, 0, scratch, count, &matches) != HS_SUCCESS) stop("scan failed");
        }
        hs_close_stream(stream, scratch, count, &matches);
        double took = seconds() - begun;
        if (took < best) best = took;
    }
    printf("%.3f (%u of %u rules, %zu bytes a stream)\n", (double)length / best / 1e9, taken, taken + left_out, state);
    return 0;
}
