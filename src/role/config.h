/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* attestryd's settings: read once, then immutable. The rows (names, bounds,
 * defaults, help) stand in config.c; a new setting is a member here and a row
 * there. Nothing here is secret. */

#include "base/conf.h"

#include <stdbool.h>
#include <stdint.h>

enum config_token_keys { CONFIG_TOKEN_NONE, CONFIG_TOKEN_KSK, CONFIG_TOKEN_BOTH };

enum config_payload { CONFIG_PAYLOAD_COMPACT, CONFIG_PAYLOAD_FULL };
enum config_landlock { CONFIG_LANDLOCK_REQUIRE, CONFIG_LANDLOCK_WARN };

struct config {
	struct {
		char *zone; /* lower case, without trailing dot */
		/* "sqlite:PATH", where PATH counts from dir when relative, or "postgresql://..." */
		char *database;
		char *operator_pin; /* hex SHA-256 of the first operator's key; may be empty */
		int64_t cert_days;
		int64_t batch_max;	/* requests of one transaction */
		int64_t answer_wait_ms; /* for zone, before an answer becomes "pending" */
		int64_t auth_ttl_s;	/* life of an authorization code */
		int64_t job_ttl_s;	/* life of a job for an operator's gateway */
		int64_t job_retry_s;	/* until a job that was handed out is handed out again */
		int64_t idempotency_ttl_s;
		int64_t transfer_wait_s;	 /* for the losing side's answer */
		int64_t feed_s;			 /* events stay in the feeds */
		int64_t publish_wait;		 /* secondaries */
		int64_t overlap_s;		 /* of a renewed certificate and its forerunner */
		struct conf_list attest_require; /* MNOs (or ranges) whose keys need a proof */
		struct conf_list ranges;	 /* which ICCIDs are whose */
		int64_t signer_hold_s;		 /* from an announced payload signer to its use */
		int payload;			 /* enum config_payload */
	} registry;
	struct {
		char *folder;	     /* private keys and issued.log; only role keys enters it */
		char *ca_folder;     /* certificates, public */
		int64_t threads;     /* 0: one per core */
		char *pkcs11_module; /* a shared library; empty: no token */
		char *pkcs11_token;  /* its label */
		char *pkcs11_pin;    /* a file, 0600 */
		int pkcs11_keys; /* enum config_token_keys: which new zone keys are made there */
		struct conf_list pkcs11_paths; /* what the module must be able to write */
		char *pkcs11_config;	       /* the module's own configuration file */
	} keys;
	struct {
		char *folder; /* LMDB */
		int64_t ttl_s;
		int64_t minimum_s;		      /* SOA minimum: life of a cached denial */
		int64_t refresh_s, retry_s, expire_s; /* SOA */
		int64_t signature_s;		      /* life of RRSIGs of CERT and TLSA */
		int64_t infra_signature_s;	      /* life of RRSIGs of SOA, NSEC, DNSKEY */
		int64_t map_mib;		      /* address space of the LMDB map */
		int64_t journal_mib;
		char *hostmaster;		/* SOA rname as a mail address or name */
		int64_t zsk_life_s, ksk_life_s; /* then the next key is made; 0: never by itself */
		int64_t roll_time_s;   /* in which a new ZSK replaces the old one's signatures */
		int64_t propagation_s; /* until the last secondary serves what this node does */
		int64_t presigned_alarm_s; /* off-line KSK: alarm when less is left */
	} zone;
	struct {
		struct conf_addr listen; /* UDP and TCP */
		struct conf_addr dot;
		char *dot_cert, *dot_key;
		int64_t workers;	  /* processes; 0: one per core */
		char *ns_name;		  /* in the zone; empty: ns1.<zone> */
		struct conf_list ns_addr; /* A and AAAA of ns_name; empty: address of listen */
		int64_t udp_max;	  /* EDNS payload */
		int64_t tcp_idle_ms;
		int64_t tcp_clients; /* TCP and DoT connections of one worker */
		int64_t tcp_per_address;
		int64_t transfers; /* of one worker at a time */
		int64_t rrl_rate, rrl_slip;
		char *nsid;
		char *transfer_keys;	    /* file of TSIG keys; empty: none */
		struct conf_list secondary; /* zone/peers.h */
	} dns;
	struct {
		struct conf_addr addr; /* len 0: this node is the primary */
		char *key;
		char *tls_name, *tls_ca;
		int64_t look_s;
	} primary;
	struct {
		struct conf_addr listen;
		char *cert, *key;
		char *client_ca; /* the party CA */
		int64_t idle_ms;
		int64_t clients; /* connections */
		int64_t body_max;
	} https;
	struct {
		struct conf_addr listen; /* len 0: no EPP */
		char *cert, *key;
		char *server_id; /* svID; empty: the zone */
		int64_t clients, sessions;
		int64_t frame_max;
		int64_t login_tries;
		int64_t login_ms, frame_ms, idle_ms, session_ms;
		int64_t query_rate, transform_rate; /* of one client, a second; 0: no limit */
		int64_t check_rate, info_rate, poll_rate, create_rate, update_rate, delete_rate,
			renew_rate, transfer_rate, login_rate, refused_rate;
	} epp;
	struct {			 /* the zone above ours */
		struct conf_list server; /* ADDR:PORT of its name servers */
		int64_t check_s;
	} parent;
	struct { /* what providers' own zones say of their services */
		char *anchor_file;
		int64_t every_s;
	} tlsa;
	struct { /* the trusted resolver that devices are told of */
		char *name;
		char *addr; /* IP address */
		int64_t port;
		struct conf_list pin; /* base64 SHA-256 of its SubjectPublicKeyInfo */
	} resolver;
	struct {	    /* several on one database (doc/nodes.md) */
		char *name; /* empty: there is only this one */
		int64_t lease_ms;
		int64_t anchor_ms; /* between two signatures of the audit chain's end */
	} node;
	struct {
		int64_t user_base; /* first uid of the roles; 0: do not switch */
		int landlock;	   /* enum config_landlock */
		char *run_folder;  /* pid and address files */
		int64_t heartbeat_ms, heartbeat_timeout_ms;
		int64_t start_timeout_ms;
		int64_t restart_ms, restart_max_ms;
		int64_t stop_timeout_ms;
		int log_level; /* enum log_level */
	} supervisor;

	/* Not settings: where the file stands. */
	char *dir;  /* absolute */
	char *file; /* absolute */
};

/* Reads and checks. Free with config_free. RC_ values as conf_read_file. */
enum rc config_read(const char *path, struct config *out, struct diag *d) ATT_MUST_CHECK;
void config_free(struct config *config);

/* Whether the zone comes from another node. */
static inline bool config_is_secondary(const struct config *config)
{
	return config->primary.addr.len > 0;
}

/* The table itself: for help and for the file that `attestry init` writes (conf_write). */
const struct conf_table *config_table(void);

#define CONFIG_DATABASE_MAX 4096

/* The file of "sqlite:PATH", absolute, into `out`. RC_UNSUPPORTED: another engine. */
enum rc config_sqlite_path(
	const struct config *config, char *out, size_t cap, struct diag *d) ATT_MUST_CHECK;
/* What store_open takes: that file, or the URL. */
enum rc config_database(
	const struct config *config, char *out, size_t cap, struct diag *d) ATT_MUST_CHECK;
/* The folder of core's files: that of the SQLite file, or, for PostgreSQL, `db` beside the
 * configuration: a password file, certificates. */
enum rc config_database_folder(
	const struct config *config, char *out, size_t cap, struct diag *d) ATT_MUST_CHECK;
bool config_is_postgres(const struct config *config);
