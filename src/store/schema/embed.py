#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the numbered migrations as one C table: embed.py OUT FILE... A file `next.sql` comes after all of them."""
import os
import sys

out, files = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
for i, f in enumerate(files, 1):
    if os.path.basename(f) != "next.sql" and int(os.path.basename(f)[:3]) != i:
        sys.exit(f"{f}: migrations must be numbered 001, 002, ... without a gap")
with open(out, "w") as c:
    c.write('/* SPDX-License-Identifier: Apache-2.0 */\n#include "store/engine.h"\n\n')
    for i, f in enumerate(files, 1):
        # Bytes, not a literal: C compilers need not take literals over 4,095 characters.
        text = ", ".join(str(b) for b in open(f, "rb").read())
        c.write(f"static const char migration_{i}[] = {{ {text}, 0 }};\n")
    c.write("const char *const st__schema[] = {\n")
    for i in range(1, len(files) + 1):
        c.write(f"\tmigration_{i},\n")
    c.write(f"}};\nconst int st__schema_count = {len(files)};\n")
