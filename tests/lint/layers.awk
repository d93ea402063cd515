# SPDX-License-Identifier: ISC
# Checks every #include of the files given after src/layers against that table:
#   awk -f tests/lint/layers.awk src/layers src/*/*.[ch] include/*/*.h
function refuse(what) { printf "%s:%d: %s may not include %s\n", FILENAME, FNR, layer, what; bad = 1 }
function allowed(name,    i, n, word) { # name or name(this file) stands in the layer's libraries
    n = split(libraries[layer], word, " ")
    for (i = 1; i <= n; i++)
        if (word[i] == name || word[i] == name "(" file ")") return 1
    return 0
}
NR == FNR { # the table
    if (/^#/ || NF == 0) next
    split($0, column, "|"); gsub(/ /, "", column[1])
    folders[column[1]] = " " column[1] " " column[2] " "; libraries[column[1]] = column[3]
    gsub(/\([a-z_.]*\)/, "", column[3]); n = split(column[3], word, " ")
    for (i = 1; i <= n; i++) known[word[i]]
    next
}
FNR == 1 { n = split(FILENAME, part, "/"); layer = part[n - 1]; file = part[n]; sub(/_internal\.h$|\.h$/, ".c", file) }
/^#include/ {
    name = $2; gsub(/[<>"]/, "", name); top = name; sub(/\/.*/, "", top)
    if (top in folders && name ~ /\//) { if (index(folders[layer], " " top " ") == 0 && !allowed(top)) refuse(name) }
    else if (top in known && !allowed(top)) refuse(name)
    else if ($2 ~ /^"/ && name ~ /\// && !(top in known)) refuse(name)
}
END { exit bad }
