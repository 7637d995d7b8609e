/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `attestry init`: makes a registry's folder with its keys and CA certificates.
 * It never touches a folder that holds anything, and leaves nothing behind
 * when it fails. The configuration file is the caller's to add (before use, in
 * the finished folder). */

#include "ca/crypt.h"

#define CA_ZONE_MAX	  41 /* so that CN = slot.iccid.zone stays within 64 octets (RFC 5280) */
#define CA_INIT_NAMES_MAX 4

struct ca_init_params {
	const char *dir;  /* absent or empty */
	const char *zone; /* "iotregistry.example": lower case, no trailing dot */
	/* Names and addresses of the HTTPS and DoT certificates, beside the built-in ones (https:
	 * localhost, 127.0.0.1, ::1; dot: ns1.<zone>, 127.0.0.1, ::1). */
	const char *https_names[CA_INIT_NAMES_MAX];    /* NULL: no more */
	const char *dot_names[CA_INIT_NAMES_MAX];      /* name servers; [0] becomes the CN */
	const char *ips[CA_INIT_NAMES_MAX];	       /* text, IPv4 or IPv6 */
	int64_t now;				       /* seconds since 1970 */
	unsigned root_days, issuing_days, server_days; /* 0: 7300, 3650, 825 */
	bool root_csr; /* no root key: leaves ca/issuing.csr and ca/devkit.csr for an air-gapped one
			*/
};

/* What the configuration and the first database rows need. */
struct ca_init_result {
	uint8_t operator_spki_sha256[CA_SHA256_LEN]; /* pin of the party `operator` */
	uint16_t ksk_tag;
	char ds[160]; /* "zone. IN DS tag 13 2 HEX", also in ca/anchor.ds */
};

/* RC_EXISTS when the folder is not empty, RC_RANGE for a zone that is too long or not lower-case
 * LDH. */
enum rc ca_init(const struct ca_init_params *params, struct ca_init_result *out,
	struct diag *d) ATT_MUST_CHECK;

/* Second half of root_csr: takes the root's certificate and the two it has signed (PEM files),
 * checks them against the keys, makes the payload signers' certificates and the chains. Refused
 * before ca_init and when it has been done already (RC_STATE). */
struct ca_init_finish_params {
	const char *dir, *root_pem, *issuing_pem, *devkit_pem;
	int64_t now;
};
enum rc ca_init_finish(const struct ca_init_finish_params *params, struct diag *d) ATT_MUST_CHECK;
