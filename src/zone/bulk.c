/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/bulk.h"

#include "base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64u
#define GROUP_NAMES 20000u

enum rc bulk_policy(struct bulk *b, const char *zone, uint32_t life_s)
{
	struct zone_policy *p = &b->policy;
	static const uint8_t loopback[4] = { 127, 0, 0, 1 };
	char text[ZONE_TEXT_MAX];
	enum rc rc;

	memset(p, 0, sizeof(*p));
	rc = zone_name_from_text(zone, &p->origin);
	if (rc == RC_OK)
		rc = str_format(text, sizeof(text), "ns1.%s", zone);
	if (rc == RC_OK)
		rc = zone_name_from_text(text, &p->ns_name);
	if (rc == RC_OK)
		rc = str_format(text, sizeof(text), "hostmaster.%s", zone);
	if (rc == RC_OK)
		rc = zone_name_from_text(text, &p->rname);
	if (rc == RC_OK)
		rc = sign_dnskey(b->ksk, true, p->ksk);
	if (rc == RC_OK)
		rc = sign_dnskey(b->zsk, false, p->zsk);
	zone_name_lower(&p->origin);
	zone_name_lower(&p->ns_name);
	zone_name_lower(&p->rname);
	memcpy(p->ns_addr[0], loopback, sizeof(loopback));
	p->ns_addr_len[0] = 4;
	p->ns_addrs = 1;
	p->ttl = 300;
	p->minimum = 60;
	p->refresh = 300;
	p->retry = 60;
	p->expire = 604800;
	p->signature_s = life_s;
	p->infra_signature_s = life_s;
	return rc;
}

uint16_t bulk_tag(const struct bulk *b, bool ksk)
{
	return sign_key_tag(ksk ? b->policy.ksk : b->policy.zsk, DNSKEY_LEN);
}

struct share {
	const struct bulk *b;
	const struct work *w;
	uint8_t *sigs;
	size_t from, to;
	enum rc rc;
};

static void *sign_share(void *arg)
{
	struct share *s = arg;
	struct signer *signer = NULL;

	s->rc = signer_new(&s->b->policy.origin, s->b->ksk, s->b->zsk, &signer);
	for (size_t i = s->from; s->rc == RC_OK && i < s->to; i++)
		s->rc = signer_sign(signer, &s->w->sets[i], s->sigs + i * RR_SIG_LEN);
	signer_free(signer);
	return NULL;
}

enum rc bulk_sign(const struct bulk *b, const struct work *w, uint8_t *sigs)
{
	struct share share[THREADS_MAX];
	pthread_t thread[THREADS_MAX];
	unsigned n = b->threads < 1 ? 1 : b->threads > THREADS_MAX ? THREADS_MAX : b->threads;
	unsigned started = 0;
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < n; i++)
		share[i] = (struct share){ b, w, sigs, w->count * i / n, w->count * (i + 1) / n,
			RC_OK };
	while (started + 1 < n &&
		pthread_create(&thread[started], NULL, sign_share, &share[started]) == 0)
		started++;
	for (unsigned i = started; i < n; i++)
		sign_share(&share[i]);
	for (unsigned i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < n && rc == RC_OK; i++)
		rc = share[i].rc;
	return rc;
}

enum rc bulk_finish(const struct bulk *b, struct rebuild *r, uint64_t seq, struct diag *d)
{
	const struct work *w;
	const struct work_tags tags = { { bulk_tag(b, false) }, { bulk_tag(b, true) } };
	uint8_t *sigs = NULL;
	uint32_t serial;
	enum rc rc = rebuild_flush(r, d);

	while (rc == RC_OK && (rc = rebuild_step(r, GROUP_NAMES, &w, d)) == RC_OK && w->count > 0) {
		uint8_t *room = realloc(sigs, w->count * RR_SIG_LEN);

		if (!room) {
			rc = RC_NOMEM;
			break;
		}
		sigs = room;
		rc = bulk_sign(b, w, sigs);
		if (rc == RC_OK)
			rc = rebuild_place(r, sigs, &tags, d);
	}
	free(sigs);
	return rc == RC_OK ? rebuild_finish(r, seq, &serial, d) : rc;
}
