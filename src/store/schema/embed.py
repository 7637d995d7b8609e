#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the numbered migrations as one C table: embed.py OUT FILE..."""
import os
import sys

out, files = sys.argv[1], sorted(sys.argv[2:])
for i, f in enumerate(files, 1):
    if int(os.path.basename(f)[:3]) != i:
        sys.exit(f"{f}: migrations must be numbered 001, 002, ... without a gap")
with open(out, "w") as c:
    c.write('/* SPDX-License-Identifier: Apache-2.0 */\n#include "store/engine.h"\n\n')
    c.write("const char *const st__schema[] = {\n")
    for f in files:
        for line in open(f):
            line = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
            c.write(f'\t"{line}\\n"\n')
        c.write("\t,\n")
    c.write(f"}};\nconst int st__schema_count = {len(files)};\n")
