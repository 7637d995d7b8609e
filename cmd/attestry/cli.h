/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* attestry's frame: one table of subcommands from which dispatch, usage, --help
 * and the manual page come. A noun is a file with a table of `struct cmd`; a
 * subcommand gets its options parsed, and says what happened by exit code. */

#include "base/diag.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

/* What a caller can tell apart; scripts rely on it. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,     /* the registry (or a check) said no */
	EXIT_USAGE = 2,	      /* the question was wrong, or cannot be answered */
	EXIT_UNAVAILABLE = 3, /* nobody answered: try again later */
};

struct cli;

struct cli_opt {
	const char *name; /* "service": --service */
	const char *arg;  /* what its value is called; NULL: a flag */
	const char *help;
};

enum cmd_trait {
	CMD_LOCAL = 1 << 0, /* never talks to the API: no connection options in its help */
	CMD_HIDDEN = 1 << 1 /* not in lists */
};

#define CLI_OPTS_MAX 12
#define CLI_ARGS_MAX 8

struct cmd {
	const char *noun; /* NULL ends a table */
	const char *verb; /* NULL: the noun stands alone */
	const char *args; /* "ICCID" or "" */
	unsigned min_args, max_args;
	const char *party; /* who asks in a lab when --as is not given */
	unsigned traits;   /* enum cmd_trait */
	int (*run)(struct cli *cli);
	const char *help; /* one sentence */
	const char *example;
	struct cli_opt opts[CLI_OPTS_MAX + 1]; /* beside those that all have */
};

#define CLI_GIVEN_MAX 64

struct cli_given {
	const char *name;  /* of the option */
	const char *value; /* "" for a flag */
};

struct cli {
	const struct cmd *cmd;
	const char *program_path; /* argv[0] */
	const char *args[CLI_ARGS_MAX];
	unsigned arg_count;
	struct cli_given given[CLI_GIVEN_MAX];
	size_t given_count;
	bool json;	       /* --json */
	json_t *lab;	       /* lab.json of --lab, or NULL */
	const char *dir;       /* --dir: a registry's folder, or NULL */
	struct client *client; /* made by the first call */
};

/* Each noun's table, ended by a row without noun. */
extern const struct cmd init_cmds[], party_cmds[], service_cmds[], inventory_cmds[], device_cmds[],
	profile_cmds[], job_cmds[], poll_cmds[], epp_cmds[], maintenance_cmds[], registry_cmds[],
	audit_cmds[], zone_cmds[], offline_cmds[], payload_cmds[], keys_cmds[], verify_cmds[],
	backup_cmds[], bulk_cmds[], metrics_cmds[], node_cmds[], lab_cmds[], asp_cmds[], td_cmds[],
	maker_cmds[], counts_cmds[], trust_cmds[], resolver_cmds[], signer_cmds[];

int keys_renew(struct cli *cli); /* signer.c */

/* All of them, in the order of --help; NULL ends. */
extern const struct cmd *const cli_nouns[];

/* ---- options (cli.c) ---- */

/* The last value of an option; NULL when it was not given. */
const char *cli_opt(const struct cli *cli, const char *name);
/* The n-th value of an option that may be repeated; NULL after the last. */
const char *cli_opt_nth(const struct cli *cli, const char *name, size_t n);
/* Says what is wrong and how the command is used; EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) ATT_PRINTF(2, 3);
/* Says what is wrong; `code` is returned. */
int cli_error(int code, const char *fmt, ...) ATT_PRINTF(2, 3);
/* The text at a path of members in lab.json ("dns", "addr"); NULL when there is none. */
const char *cli_lab_text(const struct cli *cli, const char *a, const char *b);
/* The registry's configuration file, from --dir or --lab; NULL when there is neither. The text is
 * kept in `out`. */
const char *cli_config_path(const struct cli *cli, char out[PATH_MAX]);

int cli_main(int argc, char **argv);
void cli_manual(FILE *to); /* help.c: attestry(1) in mdoc */
void cli_help_all(FILE *to);
void cli_help_noun(FILE *to, const char *noun);
void cli_help_cmd(FILE *to, const struct cmd *cmd);

int zone_timing(struct cli *cli); /* timing.c */
int lab_keep_ds(struct cli *cli); /* lab_ds.c */

/* ---- asking the registry (call.c) ---- */

/* One request; the path is built from `fmt`, in which %s stands for values that are encoded for a
 * path. On EXIT_DONE *out is the answer (json_decref). Everything else has been said already. */
int cli_call(struct cli *cli, const char *method, json_t *take_body, json_t **out, const char *fmt,
	...) ATT_PRINTF(5, 6);
/* The same with a body of another type than JSON. */
int cli_call_text(struct cli *cli, const char *path, const char *type, const char *text, size_t len,
	json_t **out);
void cli_disconnect(struct cli *cli);
/* Where the registry is and as whom it is asked: files in PEM. */
struct cli_access {
	char url[256], ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
};
int cli_access(struct cli *cli, struct cli_access *out);
/* As cli_call for a list that comes in pages: collects `member` of all of them. `path` may carry a
 * query already. */
int cli_call_list(struct cli *cli, const char *path, const char *member, json_t **out);

/* "1.8912...F[.zone]" to "1.8912...f"; a name outside the lab's zone is refused. */
int cli_profile_name(const struct cli *cli, const char *text, char out[64]);
/* The first line of the file named by an option; "-" is standard input. A command line is seen by
 * everybody on a machine, so a code never stands in one. "" when the option was not given. */
#define CLI_CODE_MAX 128
int cli_read_code(const struct cli *cli, const char *opt, char out[CLI_CODE_MAX]);
/* 19 digits with or without F, or 20 digits, to the registry's form. */
int cli_iccid(const char *text, char out[32]);

/* What the API says of the registry's health, from anywhere (registry.c). */
int registry_health(struct cli *cli);

/* ---- showing (out.c) ---- */

enum out_kind {
	OUT_TEXT, /* and numbers */
	OUT_TIME, /* seconds since 1970 */
	OUT_BOOL, /* yes; nothing when false */
	OUT_HEX,  /* base64 in JSON, hex for people */
	OUT_LIST  /* texts with spaces between */
};

struct out_col {
	const char *member; /* "certificate.not_after" */
	const char *title;  /* NULL ends */
	enum out_kind kind;
};

/* Prints JSON with --json, else one line per member that there is. Frees nothing. */
void out_object(const struct cli *cli, const json_t *answer, const char *member,
	const struct out_col *cols);
/* The same for a list: a table with a heading. */
void out_list(const struct cli *cli, const json_t *answer, const char *member,
	const struct out_col *cols);
void out_json(const json_t *answer);
/* A line for people, only without --json. */
void out_say(const struct cli *cli, const char *fmt, ...) ATT_PRINTF(2, 3);
