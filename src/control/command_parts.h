/*
 * command_parts.h - what command.c (the table), command_parse.c (words),
 * command_request.c (requests) and command_print.c (answers) share. Private to
 * them.
 */
#ifndef AX_CONTROL_COMMAND_PARTS_H
#define AX_CONTROL_COMMAND_PARTS_H

#include "control/command.h"

/* ---- command.c ---- */

/* The arguments of options that have a type, which is told by the address. */
extern const char ax_command_seconds[], ax_command_spec[];

/* ---- command_parse.c ---- */

struct parse {
    const struct ax_command *command;
    const char *cwd;
    char *error; /* AX_COMMAND_ERROR bytes */
    unsigned at, count;
    const char *const *words;
    const char **args; /* what is no option */
    unsigned arg_count;
    json_t *options, *request; /* request: what all requests have */
};

/* Says what is wrong and what to type; -EINVAL. */
int ax_command_fail(const struct parse *parse, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- command_request.c ---- */

/* The requests of arguments that are as many as they should be. */
int ax_command_requests(const struct parse *parse, json_t *requests);

/* ---- command_print.c, for the table ---- */

void ax_command_print_list(const json_t *result, const json_t *options,
                           FILE *to);
void ax_command_print_show(const json_t *result, const json_t *options,
                           FILE *to);
void ax_command_print_created(const json_t *result, const json_t *options,
                              FILE *to);
void ax_command_print_state(const json_t *result, const json_t *options,
                            FILE *to);
void ax_command_print_stats(const json_t *result, const json_t *options,
                            FILE *to);
void ax_command_print_event(const json_t *event, const json_t *options,
                            FILE *to);
void ax_command_print_gdb(const json_t *result, const json_t *options,
                          FILE *to);
void ax_command_print_dumped(const json_t *result, const json_t *options,
                             FILE *to);
void ax_command_print_balloon(const json_t *result, const json_t *options,
                              FILE *to);
void ax_command_print_size(const json_t *result, const json_t *options,
                           FILE *to);
void ax_command_print_net(const json_t *result, const json_t *options,
                          FILE *to);

#endif
