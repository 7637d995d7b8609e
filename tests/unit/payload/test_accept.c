/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "payload/accept.h"
#include "payload/sign.h"

#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct card {
	struct file signer, issuing, root;
	struct payload_context ctx;
};

static struct card card_new(void)
{
	struct card c = { .signer = fixture_file("signer.der"),
		.issuing = fixture_file("issuing.der"),
		.root = fixture_file("root.der") };
	struct payload p = fixture_compact();

	c.ctx = (struct payload_context){ .signer = { c.signer.bytes, c.signer.len },
		.issuing = { c.issuing.bytes, c.issuing.len },
		.root = { c.root.bytes, c.root.len },
		.has_eid = true,
		.slot = 1,
		.now = FIXTURE_ISSUED + 5 };
	memcpy(c.ctx.iccid, p.iccid, sizeof(p.iccid));
	memcpy(c.ctx.eid, p.eid, sizeof(p.eid));
	return c;
}

static void card_free(struct card *c)
{
	free(c->signer.bytes);
	free(c->issuing.bytes);
	free(c->root.bytes);
}

static struct payload_bytes file_of(const struct file *f)
{
	return (struct payload_bytes){ .at = f->bytes, .len = f->len };
}

static void expect(enum rc want, const char *word, const struct file *f, const struct card *c,
	const struct payload_state *before)
{
	struct payload_state after;
	struct payload p;
	struct diag d = { 0 };
	enum rc rc = payload_accept(f->bytes, f->len, &c->ctx, before, &p, &after, &d);

	if (rc != want || (word && !strstr(d.text, word)))
		fail_msg("%s, not %s: %s", rc_text(rc), rc_text(want), d.text);
}

static void accepts_what_the_other_implementation_signed(void **state)
{
	static const char *const names[] = { "compact.cose", "withdrawn.cose", "full.cose" };
	struct card c = card_new();
	struct payload_state s = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct file f = fixture_file(names[i]);
		struct payload p;
		struct diag d = { 0 };
		uint8_t hash[32];
		if (payload_accept(f.bytes, f.len, &c.ctx, &s, &p, &s, &d) != RC_OK)
			fail_msg("%s: %s", names[i], d.text);
		assert_true(s.any && s.sequence == p.sequence && s.floor == p.issued);
		SHA256(f.bytes, f.len, hash);
		assert_memory_equal(hash, s.hash, sizeof(hash));
		/* The same file again is no replay. */
		assert_rc(RC_OK, payload_accept(f.bytes, f.len, &c.ctx, &s, &p, &s, &d));
		free(f.bytes);
	}
	assert_int_equal(s.next_len, 2);
	card_free(&c);
}

static void each_rule_refuses_by_name(void **state)
{
	struct card good = card_new(), c = good;
	struct file f = fixture_file("compact.cose"), b;
	struct payload_state none = { 0 }, s = { 0 };

	(void)state;
	expect(RC_OK, NULL, &f, &good, &none);
	c.ctx.signer = file_of(&good.issuing);
	expect(RC_AUTH, "kid", &f, &c, &none);
	c = good;
	c.ctx.root = file_of(&good.signer);
	expect(RC_AUTH, "chain", &f, &c, &none);
	c = good;
	c.ctx.issuing = file_of(&good.root);
	expect(RC_AUTH, "chain", &f, &c, &none);
	c = good;
	c.ctx.root.len--;
	expect(RC_AUTH, "file 6", &f, &c, &none);
	c = good;
	c.ctx.iccid[9] ^= 1;
	expect(RC_CONFLICT, "ICCID", &f, &c, &none);
	c = good;
	c.ctx.eid[9] ^= 1;
	expect(RC_CONFLICT, "EID", &f, &c, &none);
	c.ctx.has_eid = false;
	expect(RC_OK, NULL, &f, &c, &none);
	c = good;
	c.ctx.slot = 2;
	expect(RC_CONFLICT, "slot", &f, &c, &none);
	c = good;
	c.ctx.now = FIXTURE_EXPIRES;
	expect(RC_OK, NULL, &f, &c, &none);
	c.ctx.now = FIXTURE_EXPIRES + 1;
	expect(RC_EXPIRED, "expired", &f, &c, &none);
	/* Without a clock the floor decides; with one that is behind it, too. */
	c = good;
	c.ctx.now = 0;
	expect(RC_OK, NULL, &f, &c, &none);
	s.floor = FIXTURE_EXPIRES + 1;
	expect(RC_EXPIRED, "expired", &f, &c, &s);
	c.ctx.now = 1;
	expect(RC_EXPIRED, "expired", &f, &c, &s);
	c.ctx.now = 0;
	s.floor = FIXTURE_ISSUED + 1;
	expect(RC_EXPIRED, "floor", &f, &c, &s);
	/* The last byte is the signature's. */
	b = (struct file){ .bytes = malloc(f.len), .len = f.len };
	memcpy(b.bytes, f.bytes, f.len);
	b.bytes[f.len - 1] ^= 1;
	expect(RC_SIGNATURE, "signature", &b, &good, &none);
	free(b.bytes);
	free(f.bytes);
	card_free(&good);
}

static void sequence_only_grows(void **state)
{
	struct card c = card_new();
	struct file f = fixture_file("compact.cose"), again = { .bytes = malloc(1024) };
	EVP_PKEY *key = fixture_key("signer.key");
	struct payload p = fixture_compact();
	struct put out = put_init(again.bytes, 1024);
	struct payload_state s = { 0 };

	(void)state;
	assert_rc(RC_OK, payload_accept(f.bytes, f.len, &c.ctx, &s, &p, &s, NULL));
	/* The same fields signed again: other bytes under the same sequence. */
	p = fixture_compact();
	assert_rc(RC_OK, payload_sign(&p, key, &out, NULL));
	again.len = out.len;
	expect(RC_REPLAY, "other bytes", &again, &c, &s);
	s.sequence = 2;
	expect(RC_REPLAY, "sequence 1", &f, &c, &s);
	EVP_PKEY_free(key);
	free(again.bytes);
	free(f.bytes);
	card_free(&c);
}

/* A certificate under the fixture's issuing CA for a key. */
static struct file certify(EVP_PKEY *subject, const char *cn)
{
	EVP_PKEY *ca_key = fixture_key("issuing.key");
	struct file ca = fixture_file("issuing.der"), out = { 0 };
	const uint8_t *at = ca.bytes;
	X509 *issuer = d2i_X509(NULL, &at, (long)ca.len), *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	assert_int_equal(X509_set_version(x, 2), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 77);
	ASN1_TIME_set(X509_getm_notBefore(x), (time_t)FIXTURE_ISSUED - 86400);
	ASN1_TIME_set(X509_getm_notAfter(x), (time_t)FIXTURE_EXPIRES);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	X509_set_pubkey(x, subject);
	assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
	out.len = (size_t)i2d_X509(x, &out.bytes);
	X509_free(x);
	X509_free(issuer);
	EVP_PKEY_free(ca_key);
	free(ca.bytes);
	return out;
}

static struct file sign_with(EVP_PKEY *key, uint64_t sequence, const uint8_t *next)
{
	struct file f = { .bytes = malloc(1024) };
	struct put out = put_init(f.bytes, 1024);
	struct payload p = fixture_compact();

	p.sequence = sequence;
	p.signers_len = next ? 1 : 0;
	p.signers[0] = next;
	assert_rc(RC_OK, payload_sign(&p, key, &out, NULL));
	f.len = out.len;
	return f;
}

static void signers_follow_one_another(void **state)
{
	EVP_PKEY *first = fixture_key("signer.key"), *second = EVP_EC_gen("P-256");
	struct card c = card_new(), c2 = c;
	struct file cert2 = certify(second, "payload signer 2");
	struct file plain = sign_with(first, 1, NULL), new_file = sign_with(second, 3, NULL);
	struct payload_state s = { 0 };
	struct payload p;
	uint8_t spki[32];

	(void)state;
	c2.ctx.signer = file_of(&cert2);
	assert_rc(RC_OK, payload_spki_hash(second, spki));
	assert_rc(RC_OK, payload_accept(plain.bytes, plain.len, &c.ctx, &s, &p, &s, NULL));
	expect(RC_AUTH, "announced", &new_file, &c2, &s);
	struct file announce = sign_with(first, 2, spki);
	assert_rc(RC_OK, payload_accept(announce.bytes, announce.len, &c.ctx, &s, &p, &s, NULL));
	assert_rc(RC_OK, payload_accept(new_file.bytes, new_file.len, &c2.ctx, &s, &p, &s, NULL));
	/* From here the first one is a stranger. */
	struct file old = sign_with(first, 4, NULL);
	expect(RC_AUTH, "announced", &old, &c, &s);
	free(old.bytes);
	free(announce.bytes);
	free(plain.bytes);
	free(new_file.bytes);
	OPENSSL_free(cert2.bytes);
	EVP_PKEY_free(first);
	EVP_PKEY_free(second);
	card_free(&c);
}

/* A device's own certificate is issued by the same CA; its key must not sign payloads. */
static void a_device_is_no_signer(void **state)
{
	static const char *const names[] = { "1.8912230200031010008f.iotregistry.example",
		"9.8912230200031010008F.evil.example", "2.abcdefghijklmnopqrstuvwx.example" };
	struct payload_state none = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		EVP_PKEY *device = EVP_EC_gen("P-256");
		struct file cert = certify(device, names[i]), f = sign_with(device, 1, NULL);
		struct card c = card_new();
		c.ctx.signer = file_of(&cert);
		expect(RC_AUTH, "device", &f, &c, &none);
		OPENSSL_free(cert.bytes);
		free(f.bytes);
		EVP_PKEY_free(device);
		card_free(&c);
	}
}

static void state_survives_a_file(void **state)
{
	char path[] = "/tmp/attestry-state-XXXXXX";
	struct payload_state s = { .any = true, .sequence = 9, .next_len = 1, .floor = 77 }, t;
	uint8_t buf[PAYLOAD_STATE_MAX];
	struct put p = put_init(buf, sizeof(buf));
	struct diag d = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	memset(s.next[0], 5, 32);
	assert_rc(RC_OK, payload_state_load(path, &t, &d));
	assert_false(t.any);
	assert_rc(RC_OK, payload_state_store(path, &s, &d));
	assert_rc(RC_OK, payload_state_load(path, &t, &d));
	assert_true(payload_state_equal(&s, &t));
	t.next[0][31] ^= 1;
	assert_false(payload_state_equal(&s, &t));
	assert_rc(RC_OK, payload_state_write(&s, &p));
	for (size_t cut = 0; cut < p.len; cut++)
		assert_rc(RC_MALFORMED, payload_state_parse(buf, cut, &t, NULL));
	/* A torn file is refused, not taken for a new device. */
	assert_int_equal(truncate(path, 0), 0);
	assert_rc(RC_MALFORMED, payload_state_load(path, &t, &d));
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_what_the_other_implementation_signed),
		cmocka_unit_test(each_rule_refuses_by_name),
		cmocka_unit_test(sequence_only_grows),
		cmocka_unit_test(signers_follow_one_another),
		cmocka_unit_test(a_device_is_no_signer),
		cmocka_unit_test(state_survives_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
