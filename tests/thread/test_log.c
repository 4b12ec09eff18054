/*
 * test_log.c - threads that write lines while another one rotates the log. No
 * line is lost, torn or written twice, whichever file it went to.
 */
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 3, LINES = 3000, FILES_MAX = 200 };

struct writer {
    struct ax_log *log;
    pthread_t thread;
    atomic_uint *finished;
    unsigned number;
    bool seen[LINES];
};

static void *write_lines(void *arg)
{
    struct writer *w = arg;

    for (unsigned i = 0; i < LINES; i++)
        ax_log(w->log, AX_LOG_INFO, "line %u of writer %u", i, w->number);
    atomic_fetch_add(w->finished, 1);
    return NULL;
}

/* Counts the lines of one file; false if one is odd or known already. */
static bool count_file(const char *path, struct writer *writers,
                       unsigned *total)
{
    char line[128], wanted[128];
    FILE *f = fopen(path, "re");
    bool good = f;

    while (good && fgets(line, sizeof(line), f)) {
        unsigned i, n;

        good = sscanf(line, "info vm: line %u of writer %u", &i, &n) == 2 &&
               i < LINES && n < WRITERS && !writers[n].seen[i];
        if (!good)
            break;
        snprintf(wanted, sizeof(wanted), "info vm: line %u of writer %u\n", i,
                 n);
        good = !strcmp(line, wanted);
        writers[n].seen[i] = true;
        ++*total;
    }
    if (!good)
        fprintf(stderr, "%s: a line that should not be there\n", path);
    if (f)
        fclose(f);
    return good;
}

/* Moves the file away and opens it anew until every line is written. */
static unsigned rotate(struct ax_log *log, const char *path,
                       atomic_uint *finished)
{
    unsigned files = 0;

    while (files < FILES_MAX && atomic_load(finished) < WRITERS) {
        char moved[128];

        snprintf(moved, sizeof(moved), "%s.%u", path, files);
        if (rename(path, moved) || ax_log_reopen(log))
            abort();
        files++;
    }
    return files;
}

int main(void)
{
    static struct writer writers[WRITERS];
    char dir[] = "/tmp/axvm-test-log-XXXXXX", path[64], moved[128];
    unsigned total = 0, files;
    atomic_uint finished = 0;
    struct ax_log *log, *vm;
    bool good;

    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/log", dir);
    if (ax_log_create(path, AX_LOG_INFO, &log) ||
        ax_log_create_child(log, "vm", &vm))
        return 1;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].log = vm;
        writers[i].finished = &finished;
        writers[i].number = i;
        if (pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]))
            return 1;
    }
    files = rotate(log, path, &finished);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    ax_log_destroy(vm);
    ax_log_destroy(log);
    good = count_file(path, writers, &total);
    unlink(path);
    for (unsigned i = 0; i < files; i++) {
        snprintf(moved, sizeof(moved), "%s.%u", path, i);
        good &= count_file(moved, writers, &total);
        unlink(moved);
    }
    rmdir(dir);
    printf("%u lines in %u files\n", total, files + 1);
    return !good || total != WRITERS * LINES;
}
