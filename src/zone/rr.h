/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Numbers of the DNS that the zone uses (IANA "Domain Name System Parameters"). */

#include <stdint.h>

enum rr_type {
	RR_A = 1,
	RR_NS = 2,
	RR_SOA = 6,
	RR_AAAA = 28,
	RR_CERT = 37,
	RR_OPT = 41,
	RR_DS = 43,
	RR_RRSIG = 46,
	RR_NSEC = 47,
	RR_DNSKEY = 48,
	RR_TLSA = 52,
	RR_CDS = 59,
	RR_CDNSKEY = 60,
	RR_TKEY = 249,
	RR_TSIG = 250,
	RR_IXFR = 251,
	RR_AXFR = 252,
	RR_MAILB = 253,
	RR_MAILA = 254,
	RR_ANY = 255,
};

enum rr_class { RR_IN = 1, RR_CH = 3, RR_NONE = 254, RR_CLASS_ANY = 255 };

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_NOTAUTH = 9,
	DNS_BADVERS = 16,
	DNS_BADCOOKIE = 23,
};

enum dns_opcode { DNS_QUERY = 0, DNS_NOTIFY = 4, DNS_UPDATE = 5 };

#define RR_ALG_P256    13 /* ECDSAP256SHA256, RFC 6605 */
#define RR_ALG_ED25519 15 /* ED25519, RFC 8080 */
#define RR_SIG_LEN     64 /* r | s of algorithm 13; R | S of algorithm 15 */
#define RR_SPAN_LEN    10 /* expiration, inception, key tag: as they stand in an RRSIG */
#define RR_RRSIG_FIXED 18 /* RRSIG RDATA before the signer's name, RFC 4034 section 3.1 */
#define RR_HASH_LEN    32 /* SHA-256 */
#define RR_CERT_LEN    (5 + RR_HASH_LEN) /* CERT 1 1 0 <sha256>, RFC 4398 section 2 */
#define RR_TLSA_LEN    (3 + RR_HASH_LEN) /* TLSA u s m <sha256>, RFC 6698 section 2.1 */
