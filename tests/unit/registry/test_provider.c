/* SPDX-License-Identifier: Apache-2.0 */
/* What providers and makers bring beside the core of it: descriptions, TLSA, confirmations, counts,
 * an installer's view; and what several providers on one device see of one another. */
#include "world.h"

#define OPEN_WORLD(w)   \
	struct world w; \
	(void)state;    \
	world_open(&w); \
	world_people(&w)

/* ---- descriptions ------------------------------------------------------------------------- */

static Registry__Code update(struct world *w, Registry__Service *s, const char *clear)
{
	char *list[] = { str(clear) };
	Registry__ServiceUpdate m = REGISTRY__SERVICE_UPDATE__INIT;
	WORLD_REQUEST(q, SERVICE_UPDATE, service_update, m);

	s->handle = str("parking");
	m.service = s;
	m.clear = list;
	m.n_clear = *clear ? 1 : 0;
	return world_run(w, "parkoserv", &q);
}

static Registry__Code get_td(struct world *w, const char *who, const char *handle)
{
	Registry__ServiceTd m = REGISTRY__SERVICE_TD__INIT;
	WORLD_REQUEST(q, SERVICE_TD, service_td, m);

	m.handle = str(handle);
	return world_run(w, who, &q);
}

static void test_description(void **state)
{
	Registry__Service s = REGISTRY__SERVICE__INIT, none = REGISTRY__SERVICE__INIT;
	uint8_t sha256[32], other[32] = { 1 };

	OPEN_WORLD(w);
	assert_int_equal(2303, get_td(&w, "parkoserv", "parking"));
	s.td = bytes_of("{\"title\":\"x\"}");
	assert_int_equal(2003, update(&w, &s, ""));
	assert_string_equal("td_url", w.run.reply.field);
	s.td_url = str("https://td.example/meter.jsonld");
	s.td_sha256 = (ProtobufCBinaryData){ 32, other };
	assert_int_equal(2306, update(&w, &s, ""));
	s.td_sha256.len = 0;
	assert_int_equal(1000, update(&w, &s, ""));
	assert_true(w.run.reply.service->service->td_stored);
	assert_int_equal(0, w.run.reply.service->service->td.len);
	world_sha256(s.td.data, s.td.len, sha256);
	assert_memory_equal(sha256, w.run.reply.service->service->td_sha256.data, 32);
	/* Whoever has a login may read it, byte for byte. */
	assert_int_equal(1000, get_td(&w, "mno", "parking"));
	assert_int_equal(s.td.len, w.run.reply.td->td.len);
	assert_memory_equal(s.td.data, w.run.reply.td->td.data, s.td.len);
	/* Another hash means another text: the kept one goes. */
	none.td_sha256 = (ProtobufCBinaryData){ 32, other };
	assert_int_equal(1000, update(&w, &none, ""));
	assert_false(w.run.reply.service->service->td_stored);
	assert_int_equal(2303, get_td(&w, "parkoserv", "parking"));
	assert_int_equal(1000, update(&w, &s, ""));
	none.td_sha256.len = 0;
	assert_int_equal(1000, update(&w, &none, "td"));
	assert_int_equal(0, w.run.reply.service->service->td_sha256.len);
	assert_string_equal("", w.run.reply.service->service->td_url);
	assert_int_equal(2303, get_td(&w, "parkoserv", "parking"));
	world_close(&w);
}

/* ---- TLSA --------------------------------------------------------------------------------- */

static void found(struct world *w, enum store_tlsa st)
{
	struct store_tlsa_found f = { .state = st, .checked = w->now, .why = "why" };

	registry_run_init(&w->run, &w->reg, &w->arena, REGISTRY_OUT, NULL, NULL);
	assert_rc(RC_OK, store_begin(w->reg.store));
	assert_rc(RC_OK, registry_tlsa_found(&w->run, "parking", &f));
	assert_rc(RC_OK, store_commit(w->reg.store));
}

static uint32_t messages(struct world *w, struct store_poll *m)
{
	uint32_t count = 0;
	enum rc rc = store_poll_head(w->reg.store, "parkoserv", &w->arena, m, &count);

	assert_true(rc == RC_OK || rc == RC_NOT_FOUND);
	return rc == RC_OK ? count : 0;
}

static const char *tlsa(struct world *w)
{
	Registry__ServiceInfo m = REGISTRY__SERVICE_INFO__INIT;
	WORLD_REQUEST(q, SERVICE_INFO, service_info, m);

	m.handle = str("parking");
	assert_int_equal(1000, world_run(w, "parkoserv", &q));
	return w->run.reply.service->service->tlsa;
}

static void test_tlsa(void **state)
{
	Registry__Service s = REGISTRY__SERVICE__INIT;
	struct store_poll m;
	char **due = NULL;
	uint64_t n_of[STORE_TLSA_STATES];
	size_t n;

	OPEN_WORLD(w);
	assert_string_equal("unchecked", tlsa(&w));
	assert_rc(RC_OK, store_tlsa_due(w.reg.store, 1, 10, &w.arena, &due, &n));
	assert_int_equal(2, n);
	found(&w, STORE_TLSA_OK);
	assert_string_equal("ok", tlsa(&w));
	assert_int_equal(0, messages(&w, &m));
	/* Our resolver's trouble is nobody else's. */
	found(&w, STORE_TLSA_UNREACHABLE);
	assert_string_equal("ok", tlsa(&w));
	assert_int_equal(0, messages(&w, &m));
	found(&w, STORE_TLSA_MISMATCH);
	assert_int_equal(1, messages(&w, &m));
	assert_string_equal("service.tlsa", m.event);
	assert_string_equal("parking", m.name);
	assert_non_null(strstr(m.text, "_8883._tcp.mqtt.example TLSA: mismatch: why"));
	found(&w, STORE_TLSA_MISMATCH);
	assert_int_equal(1, messages(&w, &m));
	found(&w, STORE_TLSA_BOGUS);
	found(&w, STORE_TLSA_OK);
	assert_int_equal(3, messages(&w, &m));
	assert_rc(RC_OK, store_tlsa_count(w.reg.store, n_of));
	assert_int_equal(1, n_of[STORE_TLSA_OK]);
	/* Another address is looked at anew, one in our own zone not at all. */
	s.port = 8884;
	assert_int_equal(1000, update(&w, &s, ""));
	assert_string_equal("unchecked", tlsa(&w));
	s.publish_tlsa = true;
	assert_int_equal(1000, update(&w, &s, ""));
	assert_string_equal("published", tlsa(&w));
	assert_rc(RC_OK, store_tlsa_due(w.reg.store, 1, 10, &w.arena, &due, &n));
	assert_int_equal(1, n);
	assert_string_equal("carpark", due[0]);
	world_close(&w);
}

/* ---- makers ------------------------------------------------------------------------------- */

static Registry__Code confirm(
	struct world *w, const char *who, const char *iccid, const char *eid, const char *model)
{
	Registry__MakerRow row = REGISTRY__MAKER_ROW__INIT;
	Registry__MakerRow *rows[] = { &row };
	Registry__MakerConfirm m = REGISTRY__MAKER_CONFIRM__INIT;
	WORLD_REQUEST(q, MAKER_CONFIRM, maker_confirm, m);

	row.iccid = str(iccid);
	row.eid = str(eid);
	row.model = str(model);
	m.rows = rows;
	m.n_rows = 1;
	m.signature = bytes_of("signature");
	return world_run(w, who, &q);
}

static const Registry__Device *device(struct world *w, const char *who)
{
	Registry__DeviceInfo m = REGISTRY__DEVICE_INFO__INIT;
	WORLD_REQUEST(q, DEVICE_INFO, device_info, m);

	m.iccid = str(ICCID);
	return world_run(w, who, &q) == 1000 ? w->run.reply.device->device : NULL;
}

static void test_maker(void **state)
{
	uint8_t spki[32];
	const Registry__Device *d;

	OPEN_WORLD(w);
	world_party(&w, "acme", REGISTRY__ROLE__ROLE_MAKER);
	world_party(&w, "other", REGISTRY__ROLE__ROLE_MAKER);
	assert_int_equal(2201, confirm(&w, "mno", ICCID, "", "PM-1"));
	assert_int_equal(1000, confirm(&w, "acme", ICCID, "1", "PM-1"));
	assert_int_equal(0, w.run.reply.inventory->loaded);
	assert_int_equal(1000, confirm(&w, "acme", "12", "", "PM-1"));
	assert_int_equal(1, w.run.reply.inventory->n_refused);
	assert_string_equal("", device(&w, "gatineau")->maker);
	/* The attestation key's maker, where no list names one. */
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001"));
	memcpy(spki, world_view(&w, ICCID, 1).key_spki, 32);
	assert_rc(RC_OK, store_begin(w.reg.store));
	assert_rc(RC_OK, store_key_prove(w.reg.store, spki, "cardmaker", w.now));
	assert_rc(RC_OK, store_commit(w.reg.store));
	d = device(&w, "gatineau");
	assert_string_equal("cardmaker", d->maker);
	assert_string_equal("attestation", d->maker_by);
	assert_int_equal(1000, confirm(&w, "acme", ICCID, "", "PM-1"));
	assert_int_equal(1, w.run.reply.inventory->loaded);
	d = device(&w, "parkoserv");
	assert_string_equal("acme", d->maker);
	assert_string_equal("list", d->maker_by);
	assert_string_equal("PM-1", d->model);
	assert_int_equal(w.now, d->maker_confirmed);
	/* Nobody takes another's device; its maker may correct itself. */
	assert_int_equal(1000, confirm(&w, "other", ICCID, "", "mine"));
	assert_int_equal(0, w.run.reply.inventory->loaded);
	assert_int_equal(2302, w.run.reply.inventory->refused[0]->code);
	assert_int_equal(1000, confirm(&w, "acme", ICCID, "", "PM-2"));
	assert_string_equal("PM-2", device(&w, "parkoserv")->model);
	world_close(&w);
}

/* ---- counts ------------------------------------------------------------------------------- */

static uint64_t count(struct world *w, const char *who, const char *party, const char *what,
	int64_t from, int64_t to)
{
	Registry__CountList m = REGISTRY__COUNT_LIST__INIT;
	WORLD_REQUEST(q, COUNT_LIST, count_list, m);
	uint64_t n = 0;

	m.from = (uint64_t)from;
	m.to = (uint64_t)to;
	assert_int_equal(1000, world_run(w, who, &q));
	for (size_t i = 0; i < w->run.reply.counts->n_counts; i++) {
		const Registry__Count *c = w->run.reply.counts->counts[i];

		if (strcmp(c->party, party) == 0 && strcmp(c->what, what) == 0)
			n += c->n;
	}
	return n;
}

static void test_counts(void **state)
{
	OPEN_WORLD(w);
	assert_int_equal(1000, world_load(&w, "mno", ICCID2, "gatineau"));
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001"));
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID2, 1, CLAIM, "parking"));
	assert_int_equal(1, count(&w, "parkoserv", "parkoserv", "profiles.activated", 0, 0));
	assert_int_equal(1, count(&w, "parkoserv", "parkoserv", "profiles.registered", 0, 0));
	assert_int_equal(1, count(&w, "parkoserv", "parkoserv", "profile.activate", 0, 0));
	assert_int_equal(2, count(&w, "parkoserv", "parkoserv", "profile.register", 0, 0));
	assert_int_equal(2, count(&w, "operator", "mno", "devices", 0, 0));
	assert_int_equal(2, count(&w, "gatineau", "gatineau", "devices", 0, 0));
	/* Of others nothing is told, but to the operator. */
	assert_int_equal(0, count(&w, "carparkserv", "parkoserv", "profiles.activated", 0, 0));
	assert_int_equal(0, count(&w, "gatineau", "mno", "devices", 0, 0));
	assert_int_equal(1, count(&w, "operator", "parkoserv", "profiles.activated", 0, 0));
	/* What was done, in its time: the end does not count. */
	assert_int_equal(0, count(&w, "operator", "parkoserv", "profile.activate", 0, w.now));
	assert_int_equal(
		1, count(&w, "operator", "parkoserv", "profile.activate", w.now, w.now + 1));
	assert_int_equal(0, count(&w, "operator", "parkoserv", "profile.activate", w.now + 1, 0));
	world_close(&w);
}

/* ---- installers --------------------------------------------------------------------------- */

static const Registry__InstallData *install(struct world *w, const char *who)
{
	Registry__InstallInfo m = REGISTRY__INSTALL_INFO__INIT;
	WORLD_REQUEST(q, INSTALL_INFO, install_info, m);

	m.iccid = str(ICCID);
	return world_run(w, who, &q) == 1000 ? w->run.reply.install : NULL;
}

static void test_installer(void **state)
{
	const Registry__InstallData *i;
	struct store_device d;

	OPEN_WORLD(w);
	assert_null(install(&w, "parkoserv"));
	i = install(&w, "gatineau");
	assert_false(i->live);
	assert_non_null(strstr(i->advice, "not registered"));
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	i = install(&w, "parkoserv");
	assert_int_equal(1, i->n_slots);
	assert_non_null(strstr(i->slots[0]->advice, "not activated yet"));
	assert_int_equal(1001, world_activate(&w, "parkoserv", NAME, ""));
	assert_non_null(strstr(install(&w, "mno")->slots[0]->advice, "asked for its key"));
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", "key 0001"));
	assert_false(install(&w, "mno")->live);
	assert_non_null(strstr(w.run.reply.install->slots[0]->advice, "on its way"));
	world_install(&w);
	assert_int_equal(1000, world_result(&w, "mno", world_job(&w, ICCID, 1), "ok", ""));
	i = install(&w, "mno");
	assert_true(i->live && i->slots[0]->live);
	assert_rc(RC_OK, store_device_by_iccid(w.reg.store, ICCID, &d));
	d.stolen = true;
	assert_rc(RC_OK, store_begin(w.reg.store));
	assert_rc(RC_OK, store_device_save(w.reg.store, &d));
	assert_rc(RC_OK, store_commit(w.reg.store));
	i = install(&w, "mno");
	assert_false(i->live);
	assert_non_null(strstr(i->advice, "stolen"));
	d.stolen = false;
	assert_rc(RC_OK, store_begin(w.reg.store));
	assert_rc(RC_OK, store_device_save(w.reg.store, &d));
	assert_rc(RC_OK, store_commit(w.reg.store));
	assert_int_equal(1000, world_deactivate(&w, "gatineau", NAME));
	assert_non_null(strstr(install(&w, "mno")->slots[0]->advice, "switched off"));
	world_close(&w);
}

/* ---- several providers on one device: doc/roles.md, a test per cell ----------------------- */

enum viewer {
	SPONSOR,
	NEIGHBOUR,
	INVITED,
	STRANGER,
	OWNER,
	OTHER_OWNER,
	MNO,
	OTHER_MNO,
	MAKER,
	OPERATOR,
	VIEWERS
};

static const char *const who_is[VIEWERS] = { "parkoserv", "carparkserv", "invited", "stranger",
	"gatineau", "ottawa", "mno", "mno2", "acme", "operator" };

enum thing {
	DEVICE,
	DEVICE_NEIGHBOUR_NAMES,
	DEVICE_CONSENTS,
	PROFILE,
	NEIGHBOURS_PROFILE,
	SERVICE,
	NEIGHBOURS_SERVICE,
	PROFILES_LISTED,
	FEED_EVENTS,
	JOB,
	INSTALL_SLOTS,
	DEACTIVATE,
	THINGS
};

/* Codes, or how many are seen. */
static const int sight[THINGS][VIEWERS] = {
	[DEVICE] = { 1000, 1000, 1000, 2303, 1000, 2303, 1000, 2303, 2303, 1000 },
	[DEVICE_NEIGHBOUR_NAMES] = { 1, 1, 0, -1, 2, -1, 2, -1, -1, 2 },
	[DEVICE_CONSENTS] = { 0, 1, 1, -1, 2, -1, 2, -1, -1, 2 },
	[PROFILE] = { 1000, 2201, 2201, 2201, 1000, 2201, 1000, 2201, 2201, 1000 },
	[NEIGHBOURS_PROFILE] = { 2201, 1000, 2201, 2201, 1000, 2201, 1000, 2201, 2201, 1000 },
	[SERVICE] = { 1000, 2201, 2201, 2201, 2201, 2201, 2201, 2201, 2201, 1000 },
	[NEIGHBOURS_SERVICE] = { 2201, 1000, 2201, 2201, 2201, 2201, 2201, 2201, 2201, 1000 },
	[PROFILES_LISTED] = { 1, 1, 0, 0, 2, 0, 2, 0, 0, 2 },
	[FEED_EVENTS] = { 1, 1, 0, 0, -1, -1, -1, -1, -1, -1 },
	[JOB] = { 1000, 2303, 2303, 2303, 1000, 2303, 1000, 2303, 2303, 1000 },
	[INSTALL_SLOTS] = { 1, 1, 0, -1, 2, -1, 2, -1, -1, 2 },
	[DEACTIVATE] = { 1000, 2201, 2201, 2201, 1000, 2201, 2201, 2201, 2201, 1000 },
};

static int see_profile(struct world *w, const char *who, const char *name)
{
	Registry__ProfileInfo m = REGISTRY__PROFILE_INFO__INIT;
	WORLD_REQUEST(q, PROFILE_INFO, profile_info, m);

	m.name = str(name);
	return (int)world_run(w, who, &q);
}

static int see_service(struct world *w, const char *who, const char *handle)
{
	Registry__ServiceInfo m = REGISTRY__SERVICE_INFO__INIT;
	WORLD_REQUEST(q, SERVICE_INFO, service_info, m);

	m.handle = str(handle);
	return (int)world_run(w, who, &q);
}

static int see_list(struct world *w, const char *who)
{
	Registry__ProfileList m = REGISTRY__PROFILE_LIST__INIT;
	WORLD_REQUEST(q, PROFILE_LIST, profile_list, m);

	return world_run(w, who, &q) == 1000 ? (int)w->run.reply.profile_list->n_profiles : -1;
}

static int see_feed(struct world *w, const char *who)
{
	Registry__FeedWait m = REGISTRY__FEED_WAIT__INIT;
	WORLD_REQUEST(q, FEED_WAIT, feed_wait, m);

	(void)world_run(w, who, &q);
	return w->run.reply.result_case == REGISTRY__REPLY__RESULT_FEED
		       ? (int)w->run.reply.feed->n_events
		       : -1;
}

static int see_job(struct world *w, const char *who, int64_t job)
{
	Registry__JobInfo m = REGISTRY__JOB_INFO__INIT;
	WORLD_REQUEST(q, JOB_INFO, job_info, m);
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)job);
	m.id = id;
	return (int)world_run(w, who, &q);
}

static int see(struct world *w, enum thing what, const char *who, int64_t job)
{
	const Registry__Device *d;
	const Registry__InstallData *i;

	switch (what) {
	case DEVICE: (void)device(w, who); return (int)w->run.reply.code;
	case DEVICE_NEIGHBOUR_NAMES: return (d = device(w, who)) ? (int)d->n_profiles : -1;
	case DEVICE_CONSENTS: return (d = device(w, who)) ? (int)d->n_consents : -1;
	case PROFILE: return see_profile(w, who, NAME);
	case NEIGHBOURS_PROFILE: return see_profile(w, who, "2." ICCID);
	case SERVICE: return see_service(w, who, "parking");
	case NEIGHBOURS_SERVICE: return see_service(w, who, "carpark");
	case PROFILES_LISTED: return see_list(w, who);
	case FEED_EVENTS: return see_feed(w, who);
	case JOB: return see_job(w, who, job);
	case INSTALL_SLOTS: return (i = install(w, who)) ? (int)i->n_slots : -1;
	case DEACTIVATE: return (int)world_deactivate(w, who, NAME);
	case THINGS: break;
	}
	return 0;
}

static void test_sight(void **state)
{
	Registry__DeviceUpdate m = REGISTRY__DEVICE_UPDATE__INIT;
	WORLD_REQUEST(q, DEVICE_UPDATE, device_update, m);
	static const struct {
		const char *id;
		Registry__Role role;
	} more[] = { { "invited", REGISTRY__ROLE__ROLE_ASP },
		{ "stranger", REGISTRY__ROLE__ROLE_ASP }, { "ottawa", REGISTRY__ROLE__ROLE_OWNER },
		{ "acme", REGISTRY__ROLE__ROLE_MAKER } };
	const char *const consents[] = { "carparkserv", "invited" };
	int64_t job;

	OPEN_WORLD(w);
	w.reg.served = UINT64_MAX;
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		world_party(&w, more[i].id, more[i].role);
	m.iccid = str(ICCID);
	for (size_t i = 0; i < ARRAY_LEN(consents); i++) {
		m.add_consent = str(consents[i]);
		assert_int_equal(1000, world_run(&w, "gatineau", &q));
	}
	assert_int_equal(1000, world_register(&w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, "key 0001"));
	assert_int_equal(1000, world_register(&w, "carparkserv", ICCID, 2, "", "carpark"));
	assert_int_equal(1000, world_activate(&w, "carparkserv", "2." ICCID, "key 0002"));
	world_install(&w);
	job = world_job(&w, ICCID, 1);
	for (int t = 0; t < THINGS; t++) {
		for (int v = 0; v < VIEWERS; v++) {
			int got = see(&w, (enum thing)t, who_is[v], job);

			if (got != sight[t][v])
				fail_msg("thing %d, %s: %d instead of %d", t, who_is[v], got,
					sight[t][v]);
			if (t == DEACTIVATE && got == 1000)
				assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
		}
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_description),
		cmocka_unit_test(test_tlsa),
		cmocka_unit_test(test_maker),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_installer),
		cmocka_unit_test(test_sight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
