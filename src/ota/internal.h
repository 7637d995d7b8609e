/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two ends of SCP80 share; for files of ota/ only. */

#include "ota/scp80.h"

#define SCP80__SPI1	   0x16 /* counter higher, ciphered, cryptographic checksum */
#define SCP80__SPI2	   0x19 /* protected proof of receipt, always, by DELIVER-REPORT */
#define SCP80__SPI2_SUBMIT 0x39 /* the same by SMS-SUBMIT */
#define SCP80__ALG_AES	   0x2	/* low nibble of KIc and KID: AES-CBC, AES-CMAC */
#define SCP80__BLOCK	   16
#define SCP80__CC_LEN	   8
#define SCP80__CLEAR_LEN   10	/* CPL CHL SPI KIc KID TAR */
#define SCP80__CHL	   0x15 /* SPI to the end of CC */
#define SCP80__UDH_LEN	   3	/* of a response: 02 71 00 */
#define SCP80__RHL	   0x12 /* TAR to the end of CC */
#define SCP80__RHL_BARE	   0x0a /* the same without CC */

#define SCP80__IE_CONCAT    0x00
#define SCP80__IE_CONCAT_16 0x08
#define SCP80__IE_COMMAND   0x70
#define SCP80__IE_RESPONSE  0x71

/* The first 8 bytes of AES-CMAC over two pieces. */
enum rc scp80__cc(const struct scp80_keys *keys, const uint8_t *head, size_t head_len,
	const uint8_t *rest, size_t rest_len, uint8_t cc[SCP80__CC_LEN]) ATT_MUST_CHECK;
/* AES-CBC with IV 0 in place or from `in` to `out`; `len` is a multiple of 16. */
enum rc scp80__cipher(const struct scp80_keys *keys, bool encrypt, const uint8_t *in, size_t len,
	uint8_t *out) ATT_MUST_CHECK;

void scp80__put_counter(struct put *p, uint64_t counter);
uint64_t scp80__cur_counter(struct cur *c);
bool scp80__keys_ok(const struct scp80_keys *keys);
/* KIc and KID octet of a key version. */
uint8_t scp80__key_octet(unsigned kvn);
