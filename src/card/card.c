/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOIN_TIMEOUT_MS (5 * 60 * 1000) /* parts older than this are of a lost packet */

/* The applet identifiers under which published clients look for it. */
static const struct card_aid known_aids[] = {
	{ { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10 }, 7 },
	{ { 0xa0, 0x00, 0x00, 0x02, 0x48, 0x04, 0x00 }, 7 },
	{ { 0xa0, 0x00, 0x00, 0x00, 0x30, 0x53, 0xf1, 0x24, 0x01, 0x77, 0x01, 0x01, 0x49, 0x53,
		  0x41 },
		15 },
	{ { 0xa0, 0x00, 0x00, 0x00, 0x11, 0x57, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x95,
		  0x34, 0x10 },
		16 },
};

static void set_aids(struct card *card, const struct card_opts *opts)
{
	bool known = opts->aid_count == 0;

	card->aid_count = known ? ARRAY_LEN(known_aids) : opts->aid_count;
	if (card->aid_count > CARD_AIDS_MAX)
		card->aid_count = CARD_AIDS_MAX;
	memcpy(card->aids, known ? known_aids : opts->aids,
		card->aid_count * sizeof(card->aids[0]));
}

static void set_names(struct card *card, const struct card_opts *opts)
{
	card->name_count = opts->name_count < CARD_NAMES_MAX ? opts->name_count : CARD_NAMES_MAX;
	memcpy(card->names, opts->names, card->name_count * sizeof(card->names[0]));
}

/* All keys of a card's own on one page: a process may have thousands. */
static enum rc set_keys(struct card *card, const struct card_opts *opts)
{
	enum rc rc = secret_new(&card->secrets, 2 * SCP80_KEY_MAX + CARD_SEAL_KEY_LEN);

	if (rc != RC_OK)
		return rc;
	card->kic = card->secrets.bytes;
	card->kid = card->kic + SCP80_KEY_MAX;
	card->seal = card->kid + SCP80_KEY_MAX;
	card->key_len = opts->keys.len ? opts->keys.len : SCP80_KEY_LEN;
	memcpy(card->kic, opts->keys.kic, card->key_len);
	memcpy(card->kid, opts->keys.kid, card->key_len);
	if (opts->seal_key)
		return card__seal_derive(opts->seal_key, card->iccid, card->seal);
	return opts->state_path ? RC_RANGE : RC_OK;
}

enum rc card_new(const struct card_opts *opts, struct card **out, bool *blank, struct diag *d)
{
	struct card *card = calloc(1, sizeof(*card));
	enum rc rc;

	*blank = true;
	if (!card)
		return RC_NOMEM;
	rc = ident_iccid_write(opts->iccid, card->name);
	if (rc != RC_OK)
		goto out;
	memcpy(card->iccid, opts->iccid, sizeof(card->iccid));
	memcpy(card->eid, opts->eid, sizeof(card->eid));
	card->has_eid = opts->has_eid;
	card->kvn = opts->keys.kvn;
	card->quirks = opts->quirks;
	card->clock = opts->clock;
	card->log = opts->log;
	card->state.slots = 1u << 1;
	set_aids(card, opts);
	set_names(card, opts);
	rc = opts->imsi ? str_copy(card->imsi, sizeof(card->imsi), opts->imsi)
			: str_format(card->imsi, sizeof(card->imsi), "00101%.10s", card->name + 9);
	if (rc == RC_OK)
		rc = set_keys(card, opts);
	if (rc != RC_OK)
		goto out;
	rc = RC_NOMEM;
	if (opts->state_path) {
		card->state_path = strdup(opts->state_path);
		if (!card->state_path)
			goto out;
		rc = card__load(card, blank, d);
		if (rc != RC_OK)
			goto out;
	}
	*out = card;
	return RC_OK;
out:
	card_free(card);
	return rc;
}

enum rc card__bare(const struct card_quirks *quirks, const struct clock *clock, struct card **out)
{
	struct card *card = calloc(1, sizeof(*card));

	if (!card)
		return RC_NOMEM;
	memset(card->iccid, 0xff, sizeof(card->iccid));
	card->name[0] = '-';
	card->bare = true;
	card->quirks = *quirks;
	card->clock = clock;
	*out = card;
	return RC_OK;
}

void card_erase(struct card *card)
{
	card__state_wipe(&card->state);
	if (card->state_path)
		(void)unlink(card->state_path);
}

bool card_is_bare(const struct card *card)
{
	return card->bare;
}

const char *card_imsi(const struct card *card)
{
	return card->imsi;
}

void card_free(struct card *card)
{
	if (!card)
		return;
	card__state_wipe(&card->state);
	secret_free(&card->secrets);
	free(card->state_path);
	free(card);
}

const uint8_t *card_iccid(const struct card *card)
{
	return card->iccid;
}

enum rc card_personalise_file(struct card *card, uint8_t id, const void *bytes, size_t len)
{
	const struct card__kind *kind = card__container(card, id);

	if (!kind || !kind->is_file)
		return RC_RANGE;
	if (len > CARD_FILE_MAX || card__used(&card->state) + len > CARD_STORE_MAX)
		return RC_TOO_LARGE;
	return card__file_set(&card->state.files[id], bytes, len);
}

enum rc card_personalise_attestation(struct card *card, const void *pem, size_t len)
{
	return card__key_from_pem(&card->state, CARD_ID_ATTESTATION, ALG_P256, pem, len);
}

enum rc card_personalise_container(struct card *card, uint8_t id, const char *name)
{
	const struct card__kind *kind = card__kind_named(name);
	unsigned count = 0;

	if (!kind)
		return RC_NOT_FOUND;
	for (unsigned i = CARD_EXTRA_MIN; i <= CARD_EXTRA_MAX; i++)
		count += card->state.extra[i] != 0;
	if (id < CARD_EXTRA_MIN || id > CARD_EXTRA_MAX || count == CARD_EXTRA_COUNT)
		return RC_RANGE;
	card->state.extra[id] = kind->n;
	return RC_OK;
}

enum rc card_personalise_value(struct card *card, uint8_t id, const void *bytes, size_t len)
{
	const struct card__kind *kind = card__container(card, id);

	if (!kind || !kind->name)
		return RC_RANGE;
	if (kind->is_file)
		return card_personalise_file(card, id, bytes, len);
	if (kind->is_secret)
		return card__key_from_secret(&card->state, id, bytes, len);
	return kind->has_private ? card__key_from_pem(&card->state, id, kind->alg, bytes, len)
				 : RC_RANGE;
}

void card__roll_back(struct card *card)
{
	struct diag d = { 0 };
	bool blank = false;

	if (!card->state_path)
		return;
	if (card__load(card, &blank, &d) != RC_OK)
		log_write(card->log, LOG_ERROR, "state lost iccid=%s reason=\"%s\"", card->name,
			d.text);
}

/* Carries a checked command packet out, all or nothing; returns the status of the receipt. */
static enum scp80_status execute(
	struct card *card, const struct scp80_command *cmd, struct put *answers)
{
	struct diag d = { 0 };

	card->state.counter = cmd->counter;
	remote_run(cmd->data, card__remote, card, answers);
	if (card_save(card, &d) == RC_OK)
		return SCP80_OK;
	log_write(card->log, LOG_ERROR, "packet not stored iccid=%s reason=\"%s\"", card->name,
		d.text);
	card__roll_back(card);
	answers->len = 0;
	return SCP80_NO_MEMORY;
}

/* Parts of a packet that never became whole are forgotten in time. */
static void expire_parts(struct card *card)
{
	uint64_t now = card->clock->monotonic_ms(card->clock);

	if (now - card->join_ms > JOIN_TIMEOUT_MS)
		concat_join_reset(&card->join);
	card->join_ms = now;
}

enum rc card_sms(struct card *card, const uint8_t *ud, size_t len, struct put *reply)
{
	uint8_t packet[SCP80_PACKET_MAX], plain[SCP80_PACKET_MAX];
	uint8_t answer_bytes[REMOTE_ANSWERS_MAX];
	struct put p = put_init(packet, sizeof(packet));
	struct put answers = put_init(answer_bytes, sizeof(answer_bytes));
	struct scp80_receiver rx = {
		.keys = { .kvn = card->kvn,
			.kic = card->kic,
			.kid = card->kid,
			.len = card->key_len },
		.last_counter = card->state.counter,
	};
	struct scp80_response resp = { 0 };
	struct scp80_command cmd;
	enum scp80_status status;
	bool authentic;
	enum rc rc;

	expire_parts(card);
	rc = concat_join_add(&card->join, ud, len, &p);
	if (rc != RC_OK)
		return rc;
	/* A packet whose clear part is not even there has nobody to answer to. */
	if (p.len < 10)
		return RC_MALFORMED;
	memcpy(rx.tar, scp80_tar_isa, sizeof(rx.tar));
	status = scp80_command_read(&rx, packet, p.len, plain, &cmd, &authentic);
	if (status == SCP80_OK)
		status = execute(card, &cmd, &answers);
	log_write(card->log, status == SCP80_OK ? LOG_INFO : LOG_WARNING,
		"packet iccid=%s counter=%llu bytes=%zu status=%02x text=\"%s\"", card->name,
		authentic ? (unsigned long long)cmd.counter : 0, p.len, (unsigned)status,
		scp80_status_text(status));
	memcpy(resp.tar, cmd.tar, sizeof(resp.tar));
	resp.counter = authentic ? cmd.counter : 0;
	resp.status = (uint8_t)status;
	resp.data = cur_init(answer_bytes, answers.len);
	mem_wipe(plain, sizeof(plain));
	return scp80_response_write(authentic ? &rx.keys : NULL, &resp, reply);
}
