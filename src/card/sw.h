/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Status words (ISO 7816-4 section 5.3.4; those of IoT SAFE where they say more). */

#define SW_OK	      0x9000
#define SW_MORE	      0x6300 /* object list: ask for the next part */
#define SW_MORE_BYTES 0x6100 /* low byte: how many GET RESPONSE gives */
#define SW_WRONG_LE   0x6c00 /* low byte: the right Le */
#define SW_INTEGRITY  0x6400
#define SW_LENGTH     0x6700
#define SW_CHANNEL    0x6881
#define SW_STRUCTURE  0x6981
#define SW_BUSY	      0x6984 /* being written by remote administration */
#define SW_CONDITIONS 0x6985
#define SW_DATA	      0x6a80
#define SW_NO_CHANNEL 0x6a81
#define SW_NOT_FOUND  0x6a82
#define SW_NO_MEMORY  0x6a84
#define SW_P1P2	      0x6a86
#define SW_INS	      0x6d00
#define SW_SIGNATURE  0x6d01
#define SW_CLA	      0x6e00
#define SW_INTERNAL   0x6f00
