#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The includes of the code against the table "Folders, and who may include whom" of doc/architecture.md.
cd "$1" || exit 1
failed=0
table=$(sed -n 's/^| \([a-z]*\) | .* | \([a-z][a-z_./ ]*\) |$/\1 \2/p' doc/architecture.md)
[ "$(wc -l <<<"$table")" -ge 7 ] || { echo "the table was not found in doc/architecture.md"; exit 1; }
while read -r folder allowed; do
	[ -d "$folder" ] || continue # a row of another table
	while IFS=: read -r file line include; do
		target=$(sed 's/.*"\(.*\)".*/\1/' <<<"$include")
		[ -e "$target" ] || continue # made by the build: a skeleton
		good=no
		for one in $allowed; do
			case $target in "$one" | "$one"/*) good=yes ;; esac
		done
		[ $good = yes ] || { echo "$file:$line: $folder may not include \"$target\""; failed=1; }
	done < <(grep -n '^#include "' "$folder"/*.[ch])
done <<<"$table"
exit $failed
