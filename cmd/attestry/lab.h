/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The lab: a whole registry with its providers, operator and SIMs on this
 * machine's loopback, in one folder. `lab.json` in that folder is the contract
 * for anyone's scripts (doc/lab.md). Files of cmd/attestry/lab*.c only. */

#include "base/diag.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define LAB_SIMS     3
#define LAB_SERVICES 2
/* The second eSIM profile of the last SIM (MCC 001: test networks). */
#define LAB_OTHER_NETWORK "89001010000000000017"
#define LAB_NODES_MAX	  9

struct lab_sim {
	const char *iccid; /* as in the owner name */
	const char *eid;
	char claim[33]; /* hex */
	char kic[33], kid[33];
};

struct lab_service {
	const char *handle; /* and the party's id */
	const char *name;
	int port;
	char spki_hex[65]; /* SHA-256 of the broker's SubjectPublicKeyInfo */
	pid_t pid;
};

/* One of several on the same database. The first is the registry itself. */
struct lab_node {
	char name[8], folder[16];
	int dns, dot, https, epp; /* ports */
};

struct lab {
	char dir[PATH_MAX];	 /* absolute */
	char programs[PATH_MAX]; /* the folder of this program: where the others lie */
	const char *zone;
	const char *database;	     /* postgresql://...; NULL: SQLite in the folder */
	char own_database[PATH_MAX]; /* URL of the server that the lab started */
	int node_count;		     /* 0: a registry without nodes */
	int secondary;		     /* Knot's port, with several nodes; 0: none */
	struct lab_node nodes[LAB_NODES_MAX];
	int ttl;
	int dns, dot, https, epp, resolver, parent; /* ports */
	char resolver_pin[45]; /* base64 of SHA-256 over its SubjectPublicKeyInfo */
	struct lab_service services[LAB_SERVICES];
	struct lab_sim sims[LAB_SIMS];
	json_t *pids; /* role -> [pid] */
};

/* lab_files.c: every configuration file and key of the parts that are not attestry's own. */
enum rc lab_path(const struct lab *lab, char out[PATH_MAX], const char *fmt, ...)
	ATT_PRINTF(3, 4) ATT_MUST_CHECK;
enum rc lab_write(const struct lab *lab, const char *name, unsigned mode, struct diag *d,
	const char *fmt, ...) ATT_PRINTF(5, 6) ATT_MUST_CHECK;
enum rc lab_write_resolver(const struct lab *lab, struct diag *d) ATT_MUST_CHECK;
enum rc lab_write_broker(
	const struct lab *lab, const struct lab_service *s, struct diag *d) ATT_MUST_CHECK;
enum rc lab_write_sims(const struct lab *lab, struct diag *d) ATT_MUST_CHECK;
enum rc lab_write_mno(const struct lab *lab, struct diag *d) ATT_MUST_CHECK;
/* Writes lab.json (0600: it holds passwords and claim codes). */
enum rc lab_write_json(const struct lab *lab, json_t *parties, struct diag *d) ATT_MUST_CHECK;

/* What a SIM carries before its first payload: file F3. `ds` is the trust anchor's text. */
enum rc lab_write_registry_profile(
	const struct lab *lab, const char *ds, struct diag *d) ATT_MUST_CHECK;

/* lab_keys.c */
/* A self-signed P-256 server certificate for localhost and 127.0.0.1 in
 * DIR/<folder>/<name>.{key,pem}; the SHA-256 of its SubjectPublicKeyInfo goes to spki. */
enum rc lab_self_signed(const struct lab *lab, const char *folder, const char *name,
	unsigned char spki[32], struct diag *d) ATT_MUST_CHECK;
/* A card maker whose CA the registry trusts (ca/makers/labcard.pem), and each SIM's attestation key
 * and certificate: sims/f1-N.key, sims/f2-N.der. After the registry's init, before its start. */
enum rc lab_card_maker(const struct lab *lab, struct diag *d) ATT_MUST_CHECK;
/* Random text: `len` characters of the alphabet, with a NUL. */
enum rc lab_random_text(char *out, size_t len, const char *alphabet) ATT_MUST_CHECK;
/* A TCP and UDP port that is free on 127.0.0.1 now. */
enum rc lab_free_port(int *port, struct diag *d) ATT_MUST_CHECK;

enum rc lab_sha256(const void *bytes, size_t len, unsigned char out[32]) ATT_MUST_CHECK;

/* lab_parent.c */
#define LAB_DS_TTL "5"
/* A private root and the parent, which has our DS; the resolver's anchor becomes the root's. `ds`
 * is the zone's anchor as text. */
enum rc lab_start_parent(struct lab *lab, const char *ds, struct diag *d) ATT_MUST_CHECK;
/* The parent's DS follow our CDS. */
enum rc lab_start_ds_keeper(struct lab *lab, struct diag *d) ATT_MUST_CHECK;

/* lab_up.c, lab_down.c */
/* `database`: URL of an empty PostgreSQL database, or NULL: SQLite, or with nodes a server of the
 * lab's own. */
struct lab_options {
	const char *database;
	int nodes; /* 0: none */
	bool empty, quiet;
};
enum rc lab_up(const char *dir, const struct lab_options *o, struct diag *d) ATT_MUST_CHECK;
/* Starts a part and waits for the line by which it says that it serves. */
enum rc lab_start(struct lab *lab, const char *role, const char *ready, pid_t *pid,
	char *const argv[], struct diag *d) ATT_MUST_CHECK;
/* Runs this program with the given arguments and waits. */
enum rc lab_run_self(const struct lab *lab, char *const argv[], struct diag *d) ATT_MUST_CHECK;

/* lab_nodes.c */
/* A PostgreSQL server of the lab's own; its URL becomes lab->database. */
enum rc lab_start_postgres(struct lab *lab, struct diag *d) ATT_MUST_CHECK;
/* Names and ports. */
enum rc lab_plan_nodes(struct lab *lab, struct diag *d) ATT_MUST_CHECK;
/* The first is made a node before it starts; the others are added and started while it serves. */
enum rc lab_first_node(struct lab *lab, struct diag *d) ATT_MUST_CHECK;
enum rc lab_further_nodes(struct lab *lab, struct diag *d) ATT_MUST_CHECK;
/* Knot with the zone from all nodes; the first node knows of it already. */
enum rc lab_start_secondary(struct lab *lab, struct diag *d) ATT_MUST_CHECK;
json_t *lab_nodes_json(const struct lab *lab);
/* Ends every process of the lab; one that is gone already is no error. */
enum rc lab_down(const char *dir, struct diag *d);
/* Prints what runs and where. */
enum rc lab_status(const char *dir, bool as_json, bool *all_up, struct diag *d) ATT_MUST_CHECK;
