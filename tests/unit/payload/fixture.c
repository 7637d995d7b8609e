/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/file.h"
#include "base/ident.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digests of fixed texts: computed once, never changed. */
struct digest {
	const char *text;
	uint8_t bytes[32];
	bool made;
};

static const uint8_t *digest(const char *text)
{
	static struct digest made[16];

	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		if (made[i].made && strcmp(made[i].text, text) == 0)
			return made[i].bytes;
		if (!made[i].made) {
			made[i].text = text;
			made[i].made = true;
			SHA256((const uint8_t *)text, strlen(text), made[i].bytes);
			return made[i].bytes;
		}
	}
	fail_msg("too many digests");
	return NULL;
}

static struct payload_bytes digest_bytes(const char *text)
{
	return (struct payload_bytes){ .at = digest(text), .len = 32 };
}

struct file fixture_file(const char *name)
{
	char path[512];
	struct file f = { 0 };
	struct diag d = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
	if (file_read(path, 65536, &f.bytes, &f.len, &d) != RC_OK)
		fail_msg("%s", d.text);
	return f;
}

EVP_PKEY *fixture_key(const char *name)
{
	struct file f = fixture_file(name);
	BIO *bio = BIO_new_mem_buf(f.bytes, (int)f.len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	assert_non_null(key);
	BIO_free(bio);
	free(f.bytes);
	return key;
}

static const uint8_t LOOPBACK[] = { 127, 0, 0, 1 };
static const uint8_t LOOPBACK6[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };

static struct payload_anchor anchor(const char *name, uint16_t tag, uint8_t alg, const char *text)
{
	return (struct payload_anchor){ .name = payload_text(name),
		.tag = tag,
		.alg = alg,
		.digest_type = 2,
		.digest = digest_bytes(text) };
}

static struct payload_resolver resolver(const char *name, const uint8_t *addr, size_t addr_len)
{
	return (struct payload_resolver){ .name = payload_text(name),
		.addr = { .at = addr, .len = addr_len },
		.port = 8853,
		.pins_len = 1,
		.pins = { digest("resolver") } };
}

static struct payload_pin pin(uint8_t usage, uint8_t selector, const char *text)
{
	return (struct payload_pin){
		.usage = usage, .selector = selector, .matching = 1, .data = digest_bytes(text)
	};
}

static struct payload head(void)
{
	struct payload p = { .issued = FIXTURE_ISSUED,
		.expires = FIXTURE_EXPIRES,
		.slot = 1,
		.zone = payload_text("iotregistry.example") };

	assert_rc(RC_OK, ident_iccid_read("8912230200031010008f", p.iccid));
	return p;
}

struct payload fixture_withdrawn(void)
{
	struct payload p = head();

	p.sequence = 3;
	p.withdrawn = true;
	return p;
}

struct payload fixture_compact(void)
{
	struct payload p = head();

	p.sequence = 1;
	p.has_eid = true;
	assert_rc(RC_OK, ident_eid_read("89049032123451234512345678901235", p.eid));
	p.anchors_len = 1;
	p.anchors[0] = anchor("iotregistry.example", 4711, 13, "ksk");
	p.resolvers_len = 1;
	p.resolvers[0] = resolver("resolver.iotregistry.example", LOOPBACK, sizeof(LOOPBACK));
	p.service = payload_text("parkoserv");
	p.fqdn = payload_text("mqtt.parkoserv.example");
	p.port = 8883;
	p.pins_len = 1;
	p.pins[0] = pin(3, 1, "asp");
	p.cert_sha256 = digest("certificate");
	return p;
}

/* Lists are given in an order that is not that of the encoding, one entry twice. */
struct payload fixture_full(const struct payload *parsed)
{
	struct payload p = fixture_compact();

	p.sequence = 70000;
	p.anchors_len = 4;
	p.anchors[1] = anchor(".", 20326, 8, "root ksk");
	p.anchors[2] = anchor("iotregistry.example", 99, 13, "ksk 2");
	p.anchors[3] = p.anchors[0];
	p.cas_len = 2;
	p.cas[0] = parsed->cas[0];
	p.cas[1] = parsed->cas[1];
	p.resolvers_len = 2;
	p.resolvers[0].pins_len = 2;
	p.resolvers[0].pins[1] = digest("resolver next");
	p.resolvers[1] = resolver("six.iotregistry.example", LOOPBACK6, sizeof(LOOPBACK6));
	p.resolvers[1].port = 853;
	p.resolvers[1].pins[0] = digest("six");
	p.service = payload_text("carparkserv");
	p.fqdn = payload_text("mqtt.carparkserv.example");
	p.url = payload_text("mqtts://mqtt.carparkserv.example/");
	p.pins_len = 2;
	p.pins[1] = pin(2, 0, "asp ca");
	p.wifi = parsed->wifi;
	p.td_url = payload_text("https://carparkserv.example/td.json");
	p.td_sha256 = digest("td");
	p.signers_len = 2;
	p.signers[0] = parsed->signers[1];
	p.signers[1] = parsed->signers[0];
	return p;
}
