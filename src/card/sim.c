/* SPDX-License-Identifier: Apache-2.0 */
#include "card/sim.h"

#include "base/file.h"
#include "base/str.h"
#include "card/card.h"
#include "card/front.h"
#include "card/sealkey.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX  (16u << 20)
#define SIMS_MAX    10000
#define SECURE_MIN  (1u << 20)
#define SECURE_CARD 8192u /* bytes of private numbers, and of those under way */

struct sim {
	struct event_base *base;
	const struct clock *clock;
	const struct log *log;
	struct secret seal;
	int lock; /* on the folder of states: two simulators would overwrite each other's cards */
	const char *state_dir; /* borrowed while the configuration is read */
	size_t count;
	size_t profiles; /* in all of them */
	struct euicc **euiccs;
	struct front_modem **modems;
	struct front_socket **sockets;
	struct front_vpcd **vpcds;
	struct front_sms *sms;
	struct front_euicc *orders;
	struct event *tick;
};

static const char *text_of(json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static enum rc wants(struct diag *d, const char *name, const char *what)
{
	return diag_set(d, RC_RANGE, "%s: %s", name, what);
}

/* Whatever is written that nobody reads is a mistake. */
static enum rc known_only(json_t *object, const char *const *names, size_t count, struct diag *d)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < count; i++)
			known |= strcmp(key, names[i]) == 0;
		if (!known)
			return wants(d, key, "no such setting");
	}
	return RC_OK;
}

/* The name of a switch's value, or true and false for on and off. */
static enum rc read_quirk(
	json_t *value, const char *name, struct card_quirks *quirks, struct diag *d)
{
	const char *text = json_string_value(value);
	enum rc rc;

	if (json_is_boolean(value))
		text = json_is_true(value) ? "on" : "off";
	rc = text ? card_quirks_set(quirks, name, text) : RC_RANGE;
	if (rc == RC_NOT_FOUND)
		return wants(d, name, "no such quirk");
	return rc == RC_OK ? rc : wants(d, name, "not one of this quirk's values");
}

static enum rc read_quirks(json_t *object, struct card_quirks *quirks, struct diag *d)
{
	const char *preset = text_of(object, "preset"), *key;
	json_t *value;
	enum rc rc = RC_OK;

	if (preset && card_quirks_preset(quirks, preset) != RC_OK)
		return wants(d, "preset", "strict, devkit, wolfssl or orange");
	json_object_foreach(json_object_get(object, "quirks"), key, value)
	{
		rc = read_quirk(value, key, quirks, d);
		if (rc != RC_OK)
			break;
	}
	return rc;
}

static enum rc read_aids(json_t *object, struct card_opts *opts, struct diag *d)
{
	json_t *aids = json_object_get(object, "aids"), *value;
	size_t i;

	json_array_foreach(aids, i, value)
	{
		struct card_aid *a = &opts->aids[opts->aid_count];
		const char *hex = json_string_value(value);

		if (opts->aid_count == CARD_AIDS_MAX || !hex ||
			hex_read_upto(hex, a->bytes, sizeof(a->bytes), &a->len) != RC_OK ||
			a->len < 5)
			return wants(d, "aids", "at most 8 of 5 to 16 bytes in hex");
		opts->aid_count++;
	}
	return RC_OK;
}

static bool is_named(const struct card_opts *opts, const struct card_name *name)
{
	for (size_t i = 0; i < opts->name_count; i++) {
		const struct card_name *n = &opts->names[i];

		if (n->tag == name->tag &&
			(n->container == name->container ||
				(n->len == name->len &&
					memcmp(n->bytes, name->bytes, n->len) == 0)))
			return true;
	}
	return false;
}

/* {"84 01": HEX}: the id of the object with this tag in this container. */
static enum rc read_names(json_t *object, struct card_opts *opts, struct diag *d)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(object, "ids"), key, value)
	{
		const char *hex = json_string_value(value);
		uint8_t where[2];
		char tag_and_id[5] = { key[0], key[0] ? key[1] : '\0', '\0' };
		struct card_name name = { 0 };
		size_t len = 0;

		if (strlen(key) != 5 || key[2] != ' ')
			return wants(d, key, "ids: a tag, 83 to 86, a space, and a container");
		memcpy(tag_and_id + 2, key + 3, 2);
		if (hex_read(tag_and_id, where, 2) != RC_OK || where[0] < 0x83 || where[0] > 0x86)
			return wants(d, key, "ids: a tag, 83 to 86, a space, and a container");
		if (!hex || hex_read_upto(hex, name.bytes, sizeof(name.bytes), &len) != RC_OK ||
			len == 0)
			return wants(d, key, "ids: 1 to 20 bytes in hex");
		name.tag = where[0];
		name.container = where[1];
		name.len = (uint8_t)len;
		if (opts->name_count == CARD_NAMES_MAX || is_named(opts, &name))
			return wants(d, key, "ids: at most 16, and none twice");
		opts->names[opts->name_count++] = name;
	}
	return RC_OK;
}

/* Identity, keys and manners of one card; the key bytes go to `kic` and `kid`. */
static enum rc read_card(json_t *object, struct card_opts *opts, uint8_t kic[SCP80_KEY_MAX],
	uint8_t kid[SCP80_KEY_MAX], struct diag *d)
{
	const char *iccid = text_of(object, "iccid");
	const char *kic_hex = text_of(object, "kic"), *kid_hex = text_of(object, "kid");
	json_int_t kvn = json_integer_value(json_object_get(object, "kvn"));
	size_t kic_len = 0, kid_len = 0;
	enum rc rc;

	if (!iccid || ident_iccid_read(iccid, opts->iccid) != RC_OK)
		return wants(d, "iccid", "19 digits and f, or 20 digits");
	if (!kic_hex || !kid_hex || hex_read_upto(kic_hex, kic, SCP80_KEY_MAX, &kic_len) != RC_OK ||
		hex_read_upto(kid_hex, kid, SCP80_KEY_MAX, &kid_len) != RC_OK ||
		kic_len != kid_len || !scp80_key_len_ok(kic_len))
		return wants(d, "kic, kid", "32, 48 or 64 hex digits each");
	if (kvn < 1 || kvn > 15)
		return wants(d, "kvn", "1 to 15");
	opts->keys =
		(struct scp80_keys){ .kvn = (unsigned)kvn, .kic = kic, .kid = kid, .len = kic_len };
	opts->imsi = text_of(object, "imsi");
	rc = read_quirks(object, &opts->quirks, d);
	if (rc == RC_OK)
		rc = read_aids(object, opts, d);
	return rc == RC_OK ? read_names(object, opts, d) : rc;
}

static enum rc personalise_one(
	struct card *card, const char *id_hex, const char *path, struct diag *d)
{
	uint8_t id, *bytes = NULL;
	size_t len = 0;
	enum rc rc;

	if (hex_read(id_hex, &id, 1) != RC_OK)
		return wants(d, id_hex, "a file's id is two hex digits");
	rc = file_read(path, CARD_FILE_MAX, &bytes, &len, d);
	if (rc != RC_OK)
		return rc;
	if (id == CARD_ID_ATTESTATION)
		rc = card_personalise_attestation(card, bytes, len);
	else if (id >= CARD_EXTRA_MIN && id <= CARD_EXTRA_MAX)
		rc = card_personalise_value(card, id, bytes, len);
	else
		rc = card_personalise_file(card, id, bytes, len);
	mem_wipe(bytes, len);
	free(bytes);
	if (rc != RC_OK)
		return diag_set(
			d, rc, "files: %s: %s cannot go there: %s", id_hex, path, rc_text(rc));
	return RC_OK;
}

static enum rc add_container(struct card *card, const char *id_hex, json_t *value, struct diag *d)
{
	const char *kind = json_string_value(value);
	uint8_t id;
	enum rc rc = RC_RANGE;

	if (kind && hex_read(id_hex, &id, 1) == RC_OK)
		rc = card_personalise_container(card, id, kind);
	if (rc != RC_OK)
		return wants(d, id_hex, "containers: at most 24, A0 to EF, of a known kind");
	return RC_OK;
}

static enum rc personalise(struct card *card, json_t *object, struct diag *d)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(object, "containers"), key, value)
	{
		enum rc rc = add_container(card, key, value, d);

		if (rc != RC_OK)
			return rc;
	}
	json_object_foreach(json_object_get(object, "files"), key, value)
	{
		const char *path = json_string_value(value);
		enum rc rc = path ? personalise_one(card, key, path, d) : wants(d, key, "a path");

		if (rc != RC_OK)
			return rc;
	}
	return card_save(card, d);
}

static enum rc open_fronts(struct sim *sim, size_t i, json_t *object, struct diag *d)
{
	const char *modem = text_of(object, "modem"), *socket = text_of(object, "socket");
	const char *vpcd = text_of(object, "vpcd");
	json_int_t urcs = json_integer_value(json_object_get(object, "urc_every"));
	struct at_manners manners = { .model = text_of(object, "model"),
		.echo = json_is_true(json_object_get(object, "echo")),
		.clock = sim->clock };
	enum rc rc = RC_OK;

	if (urcs < 0 || urcs > 1000000)
		return wants(d, "urc_every", "0 to 1000000");
	manners.urc_every = (unsigned)urcs;
	if (modem)
		rc = front_modem_new(
			sim->base, sim->euiccs[i], modem, &manners, sim->log, &sim->modems[i], d);
	if (rc == RC_OK && vpcd)
		rc = front_vpcd_new(sim->base, sim->euiccs[i], vpcd, sim->log, &sim->vpcds[i], d);
	if (rc == RC_OK && socket)
		rc = front_socket_new(
			sim->base, sim->euiccs[i], socket, sim->log, &sim->sockets[i], d);
	return rc;
}

static bool is_known(const struct sim *sim, const uint8_t iccid[IDENT_ICCID_LEN])
{
	struct card *card;

	for (size_t k = 0; k < sim->count; k++)
		for (size_t i = 0; (card = euicc_profile(sim->euiccs[k], i)) != NULL; i++)
			if (memcmp(card_iccid(card), iccid, IDENT_ICCID_LEN) == 0)
				return true;
	return false;
}

static enum rc open_card(struct sim *sim, struct euicc *euicc, json_t *object,
	struct card_opts *opts, struct diag *d)
{
	char path[PATH_MAX], iccid[IDENT_ICCID_TEXT];
	struct card *card = NULL;
	bool blank = false;
	enum rc rc = ident_iccid_write(opts->iccid, iccid);

	if (rc == RC_OK)
		rc = str_format(path, sizeof(path), "%s/%s.card", sim->state_dir, iccid);
	if (rc == RC_OK && euicc_was_deleted(euicc, opts->iccid)) {
		(void)unlink(path);
		return RC_OK;
	}
	opts->state_path = path;
	if (rc == RC_OK)
		rc = card_new(opts, &card, &blank, d);
	if (rc == RC_OK && blank)
		rc = personalise(card, object, d);
	if (rc == RC_OK)
		rc = euicc_add(euicc, &card);
	if (rc == RC_OK) {
		log_write(sim->log, LOG_INFO, "card iccid=%s state=%s", iccid,
			blank ? "new" : "kept");
		sim->profiles++;
	}
	card_free(card);
	return rc;
}

static enum rc add_profile(struct sim *sim, struct euicc *euicc, json_t *object,
	const struct card_quirks *quirks, struct diag *d)
{
	struct card_opts opts = {
		.quirks = *quirks, .seal_key = sim->seal.bytes, .clock = sim->clock, .log = sim->log
	};
	uint8_t kic[SCP80_KEY_MAX] = { 0 }, kid[SCP80_KEY_MAX] = { 0 };
	const uint8_t *eid = euicc_eid(euicc);
	enum rc rc = read_card(object, &opts, kic, kid, d);

	opts.has_eid = eid != NULL;
	if (eid)
		memcpy(opts.eid, eid, IDENT_EID_LEN);
	if (rc == RC_OK && is_known(sim, opts.iccid))
		rc = diag_set(d, RC_EXISTS, "iccid: the same card twice");
	if (rc == RC_OK)
		rc = open_card(sim, euicc, object, &opts, d);
	mem_wipe(kic, sizeof(kic));
	mem_wipe(kid, sizeof(kid));
	return rc;
}

static void on_event(struct euicc *euicc, const struct euicc_event *event, void *user)
{
	struct sim *sim = user;

	if (sim->orders)
		front_euicc_event(sim->orders, euicc, event);
}

static enum rc open_euicc(struct sim *sim, json_t *object, struct card_quirks *quirks,
	struct euicc **out, struct diag *d)
{
	struct euicc_opts opts = {
		.clock = sim->clock, .log = sim->log, .on_event = on_event, .user = sim
	};
	const char *eid = text_of(object, "eid");
	char path[PATH_MAX], text[IDENT_EID_TEXT];
	enum rc rc = read_quirks(object, quirks, d);

	if (rc != RC_OK)
		return rc;
	if (eid && ident_eid_read(eid, opts.eid) != RC_OK)
		return wants(d, "eid", "32 digits with their check digits");
	opts.has_eid = eid != NULL;
	opts.quirks = *quirks;
	for (size_t i = 0; eid && i < sim->count; i++) {
		const uint8_t *other = euicc_eid(sim->euiccs[i]);

		if (other && memcmp(other, opts.eid, IDENT_EID_LEN) == 0)
			return diag_set(d, RC_EXISTS, "eid: the same eUICC twice");
	}
	if (eid) {
		rc = ident_eid_write(opts.eid, text);
		if (rc == RC_OK)
			rc = str_format(path, sizeof(path), "%s/%s.euicc", sim->state_dir, text);
		opts.state_path = path;
	}
	return rc == RC_OK ? euicc_new(&opts, out, d) : rc;
}

/* One of "sims": a card by itself, or an eUICC with "profiles". */
static enum rc add_sim(
	struct sim *sim, json_t *object, const struct card_quirks *quirks, struct diag *d)
{
	static const char *const names[] = { "eid", "modem", "model", "echo", "urc_every", "socket",
		"vpcd", "preset", "quirks", "profiles", "iccid", "kic", "kid", "kvn", "imsi",
		"aids", "ids", "files", "containers" };
	static const char *const own[] = { "iccid", "kic", "kid", "kvn", "imsi", "aids", "ids",
		"files", "containers", "preset", "quirks" };
	json_t *profiles = json_object_get(object, "profiles"), *one;
	struct card_quirks manners = *quirks;
	size_t i, before = sim->profiles;
	enum rc rc = known_only(object, names, profiles ? 10 : ARRAY_LEN(names), d);

	if (rc == RC_OK && profiles && json_array_size(profiles) == 0)
		rc = wants(d, "profiles", "a list with at least one");
	if (rc == RC_OK)
		rc = open_euicc(sim, object, &manners, &sim->euiccs[sim->count], d);
	if (rc != RC_OK)
		return rc;
	sim->count++;
	if (!profiles)
		rc = add_profile(sim, sim->euiccs[sim->count - 1], object, &manners, d);
	json_array_foreach(profiles, i, one)
	{
		if (rc == RC_OK)
			rc = known_only(one, own, ARRAY_LEN(own), d);
		if (rc == RC_OK)
			rc = add_profile(sim, sim->euiccs[sim->count - 1], one, &manners, d);
	}
	if (rc == RC_OK && before == sim->profiles)
		log_write(sim->log, LOG_INFO, "an eUICC whose profiles are all deleted");
	return rc == RC_OK ? open_fronts(sim, sim->count - 1, object, d) : rc;
}

static enum rc load_config(const char *path, json_t **out, struct diag *d)
{
	struct secret bytes = { 0 };
	json_error_t error;
	enum rc rc = secret_read_file(&bytes, path, CONFIG_MAX);

	if (rc == RC_DENIED)
		return diag_set(
			d, rc, "%s: holds keys and is accessible to others (chmod 600)", path);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", path, rc_text(rc));
	*out = json_loadb((const char *)bytes.bytes, bytes.len, JSON_REJECT_DUPLICATES, &error);
	secret_free(&bytes);
	if (!*out)
		/* jansson's text quotes the input, which may be a key. */
		return diag_set(
			d, RC_MALFORMED, "%s:%d:%d: not JSON", path, error.line, error.column);
	return RC_OK;
}

/* What a power cut left of writes that never became a state: `*.XXXXXX` behind a state's name. */
static enum rc sweep(const char *dir, struct diag *d)
{
	char path[PATH_MAX];
	DIR *at = opendir(dir);
	struct dirent *e;

	if (!at)
		return diag_errno(d, RC_IO, "%s", dir);
	while ((e = readdir(at)) != NULL) {
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || strlen(dot) != 7 ||
			!(strstr(e->d_name, ".card.") || strstr(e->d_name, ".euicc.")))
			continue;
		if (str_format(path, sizeof(path), "%s/%s", dir, e->d_name) == RC_OK)
			(void)unlink(path);
	}
	closedir(at);
	return RC_OK;
}

/* Makes the folder when it is not there, and takes it for this process. */
static enum rc take_state(struct sim *sim, const char *dir, struct diag *d)
{
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return diag_errno(d, RC_IO, "%s", dir);
	sim->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sim->lock < 0)
		return diag_errno(d, RC_IO, "%s", dir);
	if (flock(sim->lock, LOCK_EX | LOCK_NB) != 0)
		return diag_set(d, RC_BUSY, "%s: another simulator runs on it", dir);
	return sweep(dir, d);
}

/* Private numbers lie in the library's own secure memory: locked, not in dumps, wiped. Where the
 * limit on locked memory is small, only the locking is lost. */
static enum rc secure_memory(size_t cards)
{
	size_t size = SECURE_MIN;

	while (size < cards * SECURE_CARD)
		size *= 2;
	if (CRYPTO_secure_malloc_initialized())
		return RC_OK;
	return CRYPTO_secure_malloc_init(size, 64) != 0 ? RC_OK : RC_NOMEM;
}

/* A card behind a modem and a socket takes three descriptors, and more while it is used. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum rc add_sims(
	struct sim *sim, json_t *sims, const struct card_quirks *quirks, struct diag *d)
{
	size_t n = json_array_size(sims), i;
	json_t *object;
	enum rc rc;

	sim->euiccs = calloc(n, sizeof(struct euicc *));
	sim->modems = calloc(n, sizeof(struct front_modem *));
	sim->sockets = calloc(n, sizeof(struct front_socket *));
	sim->vpcds = calloc(n, sizeof(struct front_vpcd *));
	if (!sim->euiccs || !sim->modems || !sim->sockets || !sim->vpcds)
		return RC_NOMEM;
	json_array_foreach(sims, i, object)
	{
		rc = add_sim(sim, object, quirks, d);
		if (rc != RC_OK) {
			char where[32];

			if (str_format(where, sizeof(where), "sims[%zu]", i) == RC_OK)
				diag_prefix(d, where);
			return rc;
		}
	}
	return RC_OK;
}

/* Temporary networks end even when nobody asks. */
static void on_tick(evutil_socket_t fd, short what, void *user)
{
	struct sim *sim = user;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < sim->count; i++)
		euicc_tick(sim->euiccs[i]);
}

static enum rc open_shared(struct sim *sim, json_t *root, struct diag *d)
{
	static const struct timeval second = { .tv_sec = 1 };
	const char *sms = text_of(root, "sms"), *orders = text_of(root, "euicc");
	enum rc rc = RC_OK;

	if (sms)
		rc = front_sms_new(sim->base, sim->euiccs, sim->count, sms, sim->log, &sim->sms, d);
	if (rc == RC_OK && orders)
		rc = front_euicc_new(
			sim->base, sim->euiccs, sim->count, orders, sim->log, &sim->orders, d);
	if (rc != RC_OK)
		return rc;
	sim->tick = event_new(sim->base, -1, EV_PERSIST, on_tick, sim);
	return sim->tick && event_add(sim->tick, &second) == 0 ? RC_OK : RC_NOMEM;
}

static enum rc set_up(struct sim *sim, json_t *root, const char *seal_key, struct diag *d)
{
	static const char *const names[] = { "state", "seal_key", "sms", "euicc", "preset",
		"quirks", "sims" };
	json_t *sims = json_object_get(root, "sims");
	const char *state = text_of(root, "state");
	struct card_quirks quirks;
	size_t n = json_array_size(sims);
	enum rc rc = known_only(root, names, ARRAY_LEN(names), d);

	if (rc == RC_OK)
		rc = card_quirks_preset(&quirks, "devkit");
	if (rc == RC_OK)
		rc = read_quirks(root, &quirks, d);
	if (rc != RC_OK)
		return rc;
	if (!state || n == 0 || n > SIMS_MAX)
		return wants(d, "state, sims", "a folder, and at least one card");
	sim->state_dir = state;
	raise_limit();
	rc = secure_memory(n);
	if (rc == RC_OK)
		rc = take_state(sim, state, d);
	if (rc == RC_OK)
		rc = sealkey_open(
			seal_key ? seal_key : text_of(root, "seal_key"), state, &sim->seal, d);
	if (rc == RC_OK)
		rc = add_sims(sim, sims, &quirks, d);
	if (rc == RC_OK)
		rc = open_shared(sim, root, d);
	sim->state_dir = NULL;
	return rc;
}

enum rc sim_new(
	struct event_base *base, const struct sim_opts *opts, struct sim **out, struct diag *d)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	json_t *root = NULL;
	enum rc rc;

	if (!sim)
		return RC_NOMEM;
	sim->lock = -1;
	sim->base = base;
	sim->clock = opts->clock;
	sim->log = opts->log;
	rc = load_config(opts->config_path, &root, d);
	if (rc == RC_OK)
		rc = set_up(sim, root, opts->seal_key, d);
	json_decref(root);
	if (rc != RC_OK) {
		sim_free(sim);
		return rc;
	}
	*out = sim;
	return RC_OK;
}

void sim_free(struct sim *sim)
{
	if (!sim)
		return;
	if (sim->tick)
		event_free(sim->tick);
	front_sms_free(sim->sms);
	front_euicc_free(sim->orders);
	sim->orders = NULL;
	for (size_t i = 0; i < sim->count; i++) {
		front_modem_free(sim->modems[i]);
		front_socket_free(sim->sockets[i]);
		front_vpcd_free(sim->vpcds[i]);
		euicc_free(sim->euiccs[i]);
	}
	free(sim->euiccs);
	free(sim->modems);
	free(sim->sockets);
	free(sim->vpcds);
	secret_free(&sim->seal);
	if (sim->lock >= 0)
		close(sim->lock);
	free(sim);
}

size_t sim_cards(const struct sim *sim)
{
	return sim->count;
}
