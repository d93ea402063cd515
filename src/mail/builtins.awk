# SPDX-License-Identifier: ISC
# The table of the built-in templates, as C:
#   awk -f builtins.awk templates/* >mail_builtins.c
BEGIN { print "#include \"mail/catalog_internal.h\"\nconst struct mail_builtin mail_builtins[] = {" }
FNR == 1 {
    if (NR > 1) print "    },"
    name = FILENAME; sub(/.*\//, "", name)
    printf "    {\"%s\",\n", name
}
{ gsub(/[\\"]/, "\\\\&"); printf "     \"%s\\n\"\n", $0 }
END { print "    },\n    {0, 0}\n};" }
