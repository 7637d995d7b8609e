/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* attestry device install, beside the other commands of device.c. */

#include "cli.h"

int device_install(struct cli *cli); /* 0 live, 1 not live */
