# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # sourced by script/bench, whose variables it shares
# (j) A thousand switches between two containers by the proxy alone, under mixed load, beside HAProxy with two servers.

swaps() {
  local count=${BENCH_SWAPS:-1000} peer=- theirs=-
  say "(j) $count switches by the proxy alone"
  mkdir -p "$work/swaps"
  python3 -B "$root/script/bench.d/swaps.py" "$work/swaps" "$proxy_program" "$count" >"$work/swaps.figures" || die "script/bench.d/swaps.py failed"
  swap() { awk -v key="$1" -v digits="${2:-0}" '$1 == key { printf "%." digits "f", $2 }' "$work/swaps.figures"; }
  [ -z "$(swap requests.haproxy)" ] || peer="$(swap failed.haproxy), $(swap stale.haproxy) (HAProxy, of $(swap requests.haproxy))"
  [ -z "$(swap requests.haproxy)" ] || theirs="$(swap act.haproxy.alone) and $(swap first.haproxy.alone) µs (HAProxy)"
  figure "$count switches under 64 connections, pages, POST, slow answers, streams: failed, closed under a request, of $(swap requests.turnout)" \
    "$(swap failed.turnout), $(swap stale.turnout)" "$peer" "$(swap failed.turnout)" '<=' 0
  figure "requests sent after a switch was answered that the old colour got, of $(($(swap watched.turnout.alone) + $(swap watched.turnout.load))) switches watched" \
    "$(($(swap wrong.turnout.alone) + $(swap wrong.turnout.load)))" - "$(($(swap wrong.turnout.alone) + $(swap wrong.turnout.load)))" '<=' 0
  row "a switch by the proxy, kept through a crash, and then the first answer of the new colour" \
    "$(swap act.turnout.alone) and $(swap first.turnout.alone) µs" "$theirs" - stated -
  figure "from the moment at which the proxy has both the new routes and a request to that request's sending to the new colour" \
    "$(swap own.delay) µs" "$(swap own.connect) µs (connecting alone)" "$(swap own.delay)" '<=' 100
  method "Switches by the proxy alone" <<END
Two containers' stead is taken by two processes; turnout-proxy is told over its control socket, HAProxy over its runtime socket (one server
\`ready\`, the other \`drain\`; nothing of it is kept through a crash). 64 clients keep their connections and ask in turn for a small page, a POST of up to
32 KiB whose answer is its hash, an answer that takes 150 ms, and a stream of ten pieces in 150 ms; all of what comes back is compared.
Connections that they had to make: $(swap connections.turnout) (HAProxy: $(swap connections.haproxy)). Time is taken by one more client that does nothing but ask, once without
the others and once beside them (then $(swap act.turnout.load) and $(swap first.turnout.load) µs; HAProxy $(swap act.haproxy.load) and $(swap first.haproxy.load)); medians. All of it is Python, and shares two processors.
The last figure is read off the proxy's own logs, the median of $(swap own.watched) switches: \`wrk\` asks over 2 connections, nginx answers in the containers'
stead. It has a connection to be made, which no request before it has opened: nothing is connected ahead, as a container that serves one connection at a
time would then serve none of its clients. From the new routes on, whether anybody asked or not, it was $(swap own.sent) µs to the first request that was sent, and
$(swap own.answered) µs to the first answer that was passed on.
END
}
