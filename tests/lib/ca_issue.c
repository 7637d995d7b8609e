/* SPDX-License-Identifier: Apache-2.0 */
/* What `keys` does with one request, as a command for tests that bring requests and certificates of
 * other tools: ca_issue DIR ZONE device|devkit|party NAME CSR-FILE prints the certificate,
 * ca_issue DIR ZONE kit URL CERT-FILE signs kit files. DER files; refusals on standard error. */
#include "base/file.h"
#include "ca/keyfile.h"
#include "ca/keyring.h"
#include "ca/kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY INT64_C(86400)

struct tool {
	struct ca_crypt *x;
	struct ca_keyring ring;
	uint8_t *input;
	size_t input_len;
};

static enum rc load(struct tool *t, char **args, struct diag *d)
{
	char keys[4096], ca[4096];
	enum rc rc = ca_crypt_new(&t->x, d);

	snprintf(keys, sizeof(keys), "%s/keys", args[0]);
	snprintf(ca, sizeof(ca), "%s/ca", args[0]);
	if (rc == RC_OK)
		rc = ca_keyring_load(&t->ring, t->x, keys, ca, args[1], d);
	return rc == RC_OK ? file_read(args[4], 1 << 20, &t->input, &t->input_len, d) : rc;
}

static enum rc issue(struct tool *t, char **args, struct diag *d)
{
	struct ca_issued_cert out = { 0 };
	char pem[CA_PEM_LEN(CA_CERT_MAX)];
	int64_t now = time(NULL);
	enum rc rc;

	if (strcmp(args[2], "party") == 0) {
		struct ca_party_order order = { .csr = t->input,
			.csr_len = t->input_len,
			.id = args[3],
			.not_before = now,
			.not_after = now + 90 * DAY };

		rc = ca_issue_party(t->x, &t->ring.authority, &order, now, &out, d);
	} else {
		struct ca_device_order order = {
			.csr = t->input,
			.csr_len = t->input_len,
			.owner_name = args[3],
			.devkit = strcmp(args[2], "devkit") == 0,
			.asp = "parkoserv",
			.service = "meters",
			.eid = "",
			.not_before = now,
			.not_after = now + 90 * DAY,
		};
		rc = ca_issue_device(t->x, &t->ring.authority, &order, now, &out, d);
	}
	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", out.der, out.der_len, pem, sizeof(pem));
	if (rc == RC_OK)
		fputs(pem, stdout);
	return rc;
}

static enum rc sign_kit(struct tool *t, char **args, struct diag *d)
{
	struct ca_kit kit;
	enum rc rc =
		ca_kit_sign(t->x, &t->ring.devkit, args[3], 8883, t->input, t->input_len, &kit, d);

	if (rc != RC_OK)
		return rc;
	printf("%.*s\n", (int)kit.file08_len, (const char *)kit.file08);
	for (size_t i = 0; i < kit.file09_len; i++)
		printf("%02x", kit.file09[i]);
	printf("\n");
	for (size_t i = 0; i < kit.file0a_len; i++)
		printf("%02x", kit.file0a[i]);
	printf("\n");
	return RC_OK;
}

int main(int argc, char **argv)
{
	struct tool t = { 0 };
	struct diag d = { 0 };

	if (argc != 6) {
		fprintf(stderr, "usage: ca_issue DIR ZONE device|devkit|party|kit NAME FILE\n");
		return 2;
	}
	enum rc rc = load(&t, argv + 1, &d);
	if (rc == RC_OK)
		rc = strcmp(argv[3], "kit") == 0 ? sign_kit(&t, argv + 1, &d)
						 : issue(&t, argv + 1, &d);
	if (rc != RC_OK)
		fprintf(stderr, "%s: %s\n", rc_text(rc), d.text);
	free(t.input);
	ca_keyring_free(&t.ring);
	ca_crypt_free(t.x);
	return rc != RC_OK;
}
