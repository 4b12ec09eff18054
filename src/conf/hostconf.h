/*
 * hostconf.h - axvm.conf: host-wide defaults, read with inih.
 *
 * /etc/axvm/axvm.conf, then $XDG_CONFIG_HOME/axvm/axvm.conf (or ~/.config),
 * later ones win. A guest's own file and the command line win over both.
 */
#ifndef AX_CONF_HOSTCONF_H
#define AX_CONF_HOSTCONF_H

#include "base.h"

struct ax_hostconf {
    char *log_level; /* NULL: not set, like all below */
    char *log_file;
    char *console;      /* default console spec */
    char *network_mode; /* default of [[net]] mode */
};

/* One problem: "file:line: text". */
typedef void ax_hostconf_report(void *ctx, const char *text);

/*
 * Reads the files that exist. 0, or -EINVAL after reporting every problem
 * (unknown section or key, bad value, line too long for inih). *out is always
 * valid and must be given to ax_hostconf_fini.
 */
int ax_hostconf_load(struct ax_hostconf *out, ax_hostconf_report *report,
                     void *ctx);

/* Reads one file on top of what *out holds; same result, -errno of opening. */
int ax_hostconf_read(struct ax_hostconf *out, const char *path,
                     ax_hostconf_report *report, void *ctx);

void ax_hostconf_fini(struct ax_hostconf *conf);

#endif
