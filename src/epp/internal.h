/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of epp/ share: a session, the command it is busy with, the tables of what can be
 * asked of which object. */

#include "epp/grammar.h"
#include "epp/out.h"
#include "epp/server.h"
#include "epp/xml.h"

#define EPP_URI		 "urn:ietf:params:xml:ns:epp-1.0"
#define EPP_IDS_MAX	 50 /* objects of one check */
#define EPP_TRID_MAX	 65
#define EPP_CLID_MAX	 17
#define EPP_PASSWORD_MAX 64
#define CODE_(c)	 REGISTRY__CODE__CODE_##c

/* What a login can name: objects first, then extensions. */
enum epp_ns {
	NS_DEVICE,
	NS_PROFILE,
	NS_SERVICE,
	NS_JOB,
	NS_ORG,
	NS_MAINTENANCE,
	NS_OBJECTS,
	NS_LOGIN_SEC = NS_OBJECTS,
	NS_SECURE_AUTH,
	NS_UNHANDLED,
	NS_CHANGE_POLL,
	NS_ORGEXT,
	NS_COUNT,
	NS_NONE = NS_COUNT
};

extern const char *const epp__uris[NS_COUNT];
/* NS_NONE: not ours. */
enum epp_ns epp__ns_find(const char *uri);

enum epp_verb {
	VERB_CHECK,
	VERB_CREATE,
	VERB_DELETE,
	VERB_INFO,
	VERB_RENEW,
	VERB_TRANSFER,
	VERB_UPDATE,
	VERBS
};

struct epp_command;

/* One command of one object: its grammar, what is asked of core, what is said of the answer. */
struct epp_row {
	const struct gram_type *grammar; /* NULL: the object has no such command */
	/* Fills cmd->request; false: cmd->fault says why not. */
	bool (*ask)(struct epp_command *cmd);
	/* Writes cmd->res (and cmd->ext) for a reply of success; may set cmd->more for another
	 * question. NULL: nothing to write. */
	void (*answer)(struct epp_command *cmd, const Registry__Reply *reply);
};

struct epp_mapping {
	enum epp_ns ns;
	unsigned orgs; /* bit 1 << enum epp_verb: orgext may say something there */
	struct epp_row rows[VERBS];
};

extern const struct epp_mapping epp__device, epp__profile, epp__service, epp__job, epp__org,
	epp__maintenance;

/* The extensions of one element each that a reply may carry. */
struct epp_part {
	struct out text;
	enum epp_ns ns; /* NS_NONE: there is none */
};

struct epp_command {
	struct epp_session *session;
	struct xml *xml;		/* owns the tree and what is allocated for the request */
	const struct xml_node *root;	/* NULL: not well-formed */
	const struct xml_node *command; /* <command>, NULL for what is none */
	const struct xml_node *verb;	/* its first child */
	const struct xml_node *object;	/* the element of the mapping in it */
	const struct xml_node *orgs;	/* orgext's, NULL: none */
	const char *cl_trid;		/* NULL: none */
	char sv_trid[EPP_TRID_MAX];
	const struct epp_row *row;
	void (*answer)(struct epp_command *cmd, const Registry__Reply *reply);
	unsigned step;
	bool more; /* the request was filled once more: ask again */
	Registry__Request request;
	struct gram_fault fault;
	/* the reply */
	unsigned code; /* 0: as core says */
	struct epp_part res, ext;
	bool has_queue;
	uint64_t queue_count;
	uint64_t queue_id;
	bool queue_job;	    /* queue_id is a job's */
	int64_t queue_date; /* 0: no date, no text */
	const char *queue_text;
	bool core_keeps; /* the frame is with core, which keeps it whatever becomes of it */
	size_t xml_len;
	uint8_t xml_sha256[32]; /* where it is not well-formed */
	bool close;		/* after the answer */
	void *state;		/* of the verb, in the tree's memory */
};

enum session_state { SESSION_HELLO, SESSION_OPEN, SESSION_BUSY, SESSION_LINGER };

struct epp_client;

struct epp_session {
	struct epp_server *server;
	struct epp_session *next, **link;
	struct tls_stream *stream; /* NULL: a test's session, which writes to `sink` */
	struct out *sink;
	enum session_state state;
	bool logged_in;
	bool over_limit; /* its login is answered with 2502 */
	bool in_work, freed_soon;
	bool frame_begun;
	bool ending; /* close when all is sent */
	unsigned failed;
	uint32_t services; /* bit 1 << enum epp_ns: named at login */
	char id[EPP_CLID_MAX];
	uint64_t started_ms, login_by_ms, last_ms, frame_by_ms, send_by_ms;
	struct epp_client *client;
	uint8_t spki_sha256[TLS_SPKI_LEN];
	int64_t not_after; /* of the client's certificate */
	char peer[64];
	struct epp_command *cmd; /* busy with it */
};

struct epp_server {
	struct epp_options o;
	struct event *acceptor, *again;
	struct epp_session *sessions;
	struct epp_client *clients;
	struct epp_command *spare; /* with its reader, to be used again */
	struct epp_counts counts;
	char trid_prefix[40];
	uint64_t trid;
	bool draining;
};

/* ---- commands.c: from a frame to an answer ---- */
/* The frame's XML: answers, or asks core and leaves the session busy. */
void epp__frame(struct epp_session *s, const uint8_t *xml, size_t len);
/* False: it is no EPP instance at all, or memory is out. */
void epp__command_free(struct epp_command *cmd);
void epp__greet(struct epp_session *s);
void epp__core_reply(struct epp_session *s, const Registry__Reply *reply);
/* ---- rates.c ---- */
/* One client key: how many sessions, and how fast. Tokens are thousandths of a command. */
struct epp_client {
	struct epp_client *next;
	uint8_t spki_sha256[TLS_SPKI_LEN];
	size_t sessions;
	uint64_t filled_ms;
	uint64_t tokens[EPP_RATES];
};

struct epp_client *epp__client_of(struct epp_server *server, const uint8_t spki[TLS_SPKI_LEN]);
void epp__clients_free(struct epp_server *server);
/* One token of the client's allowance; counts where there is none. */
bool epp__may(struct epp_session *s, enum epp_rate rate);

/* ---- audit.c: commands as the audit keeps them, without what is secret ---- */
/* For core to keep with what it does. */
void epp__keep_frame(struct epp_command *cmd);
/* Tells core of a command that it has not seen itself. */
void epp__note_refusal(struct epp_command *cmd, unsigned code, const char *why);

/* ---- session.c ---- */
/* Sends one instance in its frame. */
void epp__send(struct epp_session *s, struct out *take);
/* All that was sent leaves, then the connection ends. */
void epp__end(struct epp_session *s);
/* Sessions of this client that are logged in. */
size_t epp__sessions_of(const struct epp_session *s);

/* ---- response.c ---- */
/* Writes the command's reply: `code`, and for a fault the element at fault and why. */
void epp__respond(struct epp_command *cmd, unsigned code, const char *why);
void epp__greeting(struct epp_session *s, struct out *o);
const char *epp__message(unsigned code);

/* ---- login.c ---- */
bool epp__login(struct epp_command *cmd, struct xml_node *login, struct xml_node *extension);

/* ---- poll.c ---- */
bool epp__poll(struct epp_command *cmd, const struct xml_node *poll);
void epp__poll_answer(struct epp_command *cmd, const Registry__Reply *reply);

/* ---- orgext.c ---- */
struct epp_org {
	const char *role; /* NULL ends */
	char **id;	  /* where it goes; "" until then */
};
/* Whether the extension's element is one for this command. */
bool epp__orgs_take(struct epp_command *cmd, struct xml_node *node, enum epp_verb verb);
/* The ids of a list (NULL: none) to where their roles go. */
bool epp__orgs_set(
	struct epp_command *cmd, const struct xml_node *list, const struct epp_org *into);
/* <orgext:infData>, for sessions that named the extension. */
void epp__orgs_open(struct epp_command *cmd);
void epp__orgs_write(struct epp_command *cmd, const char *role, const char *party);
void epp__orgs_close(struct epp_command *cmd);

/* ---- helpers for the objects' files ---- */
static inline bool epp__speaks(const struct epp_command *cmd, enum epp_ns ns)
{
	return cmd->session->services & 1u << ns;
}

/* A fault at `node`; false. */
bool epp__no(struct epp_command *cmd, unsigned code, const struct xml_node *node, const char *fmt,
	...) ATT_PRINTF(4, 5);
/* A message of the request, initialised, in the command's memory; NULL: out of it. */
void *epp__new(struct epp_command *cmd, const ProtobufCMessageDescriptor *type);
/* The decoded bytes of an element that the grammar has checked. */
bool epp__b64(struct epp_command *cmd, const struct xml_node *node, ProtobufCBinaryData *out);
/* Where the parent has it. */
bool epp__b64_if(struct epp_command *cmd, const struct xml_node *parent, const char *name,
	ProtobufCBinaryData *out);
/* What an operator says of a SIM: the claim code's hash, file F2. */
bool epp__sim(struct epp_command *cmd, ProtobufCBinaryData *salt, ProtobufCBinaryData *sha256,
	ProtobufCBinaryData *attest);
/* The transfer command's op. */
Registry__TransferStep epp__transfer_step(const struct epp_command *cmd);
/* trStatus to acDate. */
void epp__transfer_fields(struct out *o, const Registry__Transfer *t);
bool epp__hex(struct epp_command *cmd, const struct xml_node *node, ProtobufCBinaryData *out);
char *epp__text(const struct xml_node *parent, const char *name); /* "" when there is none */
/* The seconds that <generate ttl=""> asks for; 0 when it does not say. */
bool epp__ttl(struct epp_command *cmd, const struct xml_node *generate, uint32_t *out);
/* <p:authData>: a code that the registry made, shown once; nothing when it made none. */
void epp__auth_data(
	struct epp_command *cmd, enum epp_ns ns, const char *tag, const Registry__AuthData *made);
/* 1 word of `words`: its index, -1 none. */
int epp__word(const char *text, const char *const *words);
/* Fills the request for a check of `kind`; writes its answer as <prefix:tag avail=..>. */
bool epp__check_ask(struct epp_command *cmd, Registry__CheckKind kind, const char *tag);
void epp__check_answer(
	struct epp_command *cmd, const Registry__Reply *reply, enum epp_ns ns, const char *tag);
/* Opens the one element of resData: <p:name xmlns:p="uri">, and closes it. */
void epp__res_open(struct epp_command *cmd, enum epp_ns ns, const char *name);
void epp__res_close(struct epp_command *cmd, const char *name);
/* <p:infData> of a profile, for info and poll; <p:trnData> for transfers. */
void epp__profile_data(struct epp_command *cmd, const Registry__Profile *p);
/* <maint:infData>: a list, or the one item; `poll`: what a message says of it, else NULL. */
void epp__maintenance_data(struct epp_command *cmd, const Registry__MaintenanceData *data,
	bool list, const char *poll);
void epp__device_data(struct epp_command *cmd, const Registry__Device *d);
void epp__service_data(struct epp_command *cmd, const Registry__Service *s);
/* <job:infData>, for info, results and poll. */
void epp__job_data(
	struct epp_command *cmd, const Registry__Job *j, const ProtobufCBinaryData *certificate);
/* device_transfer.c */
bool epp__device_transfer_ask(struct epp_command *cmd);
void epp__device_transfer_answer(struct epp_command *cmd, const Registry__Reply *reply);
void epp__device_transfer_data(struct epp_command *cmd, const Registry__Transfer *t);
void epp__transfer_data(struct epp_command *cmd, const Registry__Transfer *t);

/* ---- grammar of the forms that several mappings use: forms.c ---- */
extern const struct gram_type epp__t_clid, epp__t_iccid, epp__t_name, epp__t_handle, epp__t_empty,
	epp__t_bool, epp__t_generate, epp__t_datetime, epp__t_csr, epp__t_claim, epp__t_url,
	epp__t_text, epp__t_sim_claim, epp__t_attest, epp__t_pw, epp__t_auth,
	epp__t_device_transfer;
