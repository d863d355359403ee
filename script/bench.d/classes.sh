# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # sourced by script/bench, whose variables it shares
# (j) What is derived of published stacks with `switch: auto`. Nothing is timed.

classes() {
  say "(j) What \`switch: auto\` makes of published stacks"
  local said
  cargo test --locked --quiet --manifest-path "$root/Cargo.toml" -p turnout-switch --test switch corpus::published_stacks -- --nocapture \
    >"$work/classes" 2>&1 || { cat "$work/classes"; die "the derivation was not tried"; }
  said=$(grep -E '^[0-9]+ stacks: ' "$work/classes") || {
    note "NOT RUN: $(grep -m 1 'is absent' "$work/classes")"
    method "Classes" <<<"Not tried: the collection of published stacks was not at hand."
    return
  }
  note "$said"
  {
    printf '## What `switch: auto` makes of published stacks\n\nOf %s, as their projects publish them:\n\n' "${said%%:*}"
    printf '| stacks | |\n|---|---|\n'
    sed -E 's/^[^{]*\{([^}]*)\}.*/\1/; s/, "/\n"/g' <<<"$said" | sed -E 's/"([^"]*)": ([0-9]+)/| \1 | \2 |/'
    sed -E 's/.*; ([0-9]+) refused.*/| of all these are refused until something is written | \1 |/' <<<"$said"
    printf '\n| services | |\n|---|---|\n'
    sed -E 's/.*services \{([^}]*)\}.*/\1/; s/, /\n/g' <<<"$said" | sed -E 's/([A-Za-z]+): ([0-9]+)/| \L\1\E | \2 |/'
    echo
  } >>"$work/tables"
  method "Classes" <<END
\`crates/switch/tests/switch/corpus.rs\` derives them, with nothing said under \`switch\`; nothing is known of their images. It fails where a database, a
queue or the like would be in two colours, or a scheduler run twice; \`TURNOUT_EXPLAIN=1\` prints each stack with its reasons.
END
}
