/*
 * replay.c - a main for fuzz targets outside a fuzzer: runs every file named on
 * the command line or found in a directory named there. Fails if there is none.
 */
#include "fuzz/input.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data;
    long size;
    int failed = 1;

    if (!f)
        return 1;
    if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 ||
        fseek(f, 0, SEEK_SET)) {
        fclose(f);
        return 1;
    }
    /* Exactly size bytes, so that ASan sees a read past the end. */
    data = malloc(size ? (size_t)size : 1);
    if (data && fread(data, 1, (size_t)size, f) == (size_t)size) {
        LLVMFuzzerTestOneInput(data, (size_t)size);
        failed = 0;
    }
    free(data);
    fclose(f);
    return failed;
}

static int replay_directory(const char *path, unsigned *count)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[4096];
    int failed = 0;

    if (!dir)
        return 1;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        failed |= replay_file(name);
        ++*count;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (!stat(argv[i], &st) && S_ISDIR(st.st_mode)) {
            failed |= replay_directory(argv[i], &count);
        } else {
            failed |= replay_file(argv[i]);
            count++;
        }
    }
    printf("replayed %u inputs\n", count);
    return failed || !count;
}
