/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DNSKEY, CDS and CDNSKEY RRsets signed on another machine, where the KSK is,
 * for a time to come. A request says which sets and for which spans of time; the
 * other machine answers with the same sets and a signature for each span. Both
 * are one text format:
 *
 *   attestry-offline 1
 *   zone iotregistry.example
 *   ttl 300
 *   ksk BASE64            DNSKEY RDATA
 *   span FROM TO          a request: seconds since 1970
 *   set TYPE              48, 59 or 60
 *   rdata BASE64          canonical order
 *   sig FROM TO BASE64    an answer: R|S over the set above
 *   end
 *
 * A signature covers exactly its set, so the machine that is on line can serve
 * nothing that was not put before whoever holds the KSK. */

#include "ca/rrsign.h"

#define CA_PRESIGNED_FILE     "presigned"
#define CA_RR_DNSKEY	      48
#define CA_RR_CDS	      59
#define CA_RR_CDNSKEY	      60
#define CA_PRESIGNED_FILE_MAX (8u << 20)
#define CA_PRESIGNED_SETS     256u
#define CA_PRESIGNED_RDATA    16u
#define CA_PRESIGNED_SPANS    512u

struct ca_presigned_sig {
	uint32_t from, to;
	uint8_t sig[64];
};

struct ca_presigned_set {
	uint16_t type;
	size_t count;
	struct {
		uint8_t len;
		uint8_t at[CA_DNSKEY_LEN];
	} rdata[CA_PRESIGNED_RDATA];
	struct ca_presigned_sig *sigs; /* owned; sig_count of them, ascending by `from` */
	size_t sig_count;
};

struct ca_presigned {
	char zone[CA_NAME_MAX + 1];
	uint8_t apex[CA_NAME_WIRE_MAX];
	size_t apex_len;
	uint32_t ttl;
	struct ca_dnskey ksk;
	uint16_t tag;
	struct {
		uint32_t from, to;
	} spans[CA_PRESIGNED_SPANS];
	size_t span_count;
	struct ca_presigned_set *sets; /* owned */
	size_t set_count;
	int64_t mtime_ns; /* of the file it came from */
	unsigned refs;
};

/* The text; for the fuzzer too. Every number and every RDATA is checked, signatures are not. Free
 * with ca_presigned_unref. */
enum rc ca_presigned_parse(
	struct ca_presigned **out, const char *text, size_t len, struct diag *d) ATT_MUST_CHECK;
/* The text of it, malloc'd. */
enum rc ca_presigned_text(const struct ca_presigned *p, char **out, size_t *len) ATT_MUST_CHECK;
struct ca_presigned *ca_presigned_new(void);
struct ca_presigned_set *ca_presigned_add_set(struct ca_presigned *p, uint16_t type);
/* RDATA into canonical order; one that is there already stays once. */
enum rc ca_presigned_add_rdata(
	struct ca_presigned_set *set, const uint8_t *rdata, size_t len) ATT_MUST_CHECK;

/* Whether all signatures are the KSK's over their sets. RC_SIGNATURE. */
enum rc ca_presigned_verify(const struct ca_presigned *p, struct diag *d) ATT_MUST_CHECK;
/* What a holder of the KSK must look at: each DNSKEY set holds the KSK, each CDS and CDNSKEY stands
 * for a KSK of the request, spans are at most 60 days long. RC_DENIED. */
enum rc ca_presigned_check(const struct ca_presigned *p, struct diag *d) ATT_MUST_CHECK;
/* Signs each set for each span; the request's spans go. */
enum rc ca_presigned_sign(
	struct ca_presigned *p, const struct ca_dnskey *ksk, struct diag *d) ATT_MUST_CHECK;

/* A file, verified. RC_NOT_FOUND. */
enum rc ca_presigned_load(
	struct ca_presigned **out, const char *path, struct diag *d) ATT_MUST_CHECK;
bool ca_presigned_changed(const struct ca_presigned *p, const char *path);
struct ca_presigned *ca_presigned_ref(struct ca_presigned *p);
void ca_presigned_unref(struct ca_presigned *p);

/* The signature of a set that is good now and ends last; NULL: none. */
const struct ca_presigned_sig *ca_presigned_find(
	const struct ca_presigned *p, const struct ca_rrset *rrset, int64_t now);
/* Of all sets that have a signature now or later: the begin of the span that is good now (0: none),
 * that of the next (0: none), and the end of the last. */
void ca_presigned_times(
	const struct ca_presigned *p, int64_t now, uint32_t *from, uint32_t *next, uint32_t *end);
