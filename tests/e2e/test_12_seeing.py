# SPDX-License-Identifier: BSD-2-Clause
"""What the operator sees of packets and flows is what the data plane does with them."""
import json
import os
import socket

from lab import clients
from lab.machine import wait_until
from lab.site import CLIENT, CLIENT6, SLUICE, VIP, VIP6, Site

BESIDE_OTHERS = True


def site():
    lab = Site(nodes=("lb1",))
    lab.up()
    return lab


def explain(lab, client, vip, *options):
    return json.loads(lab.sluice("lb1", "explain", client, vip, *options, "--json"))["explanation"]


def endpoint(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def imap_from(lab, host, port):
    """The greeting's server of a connection from this very port; the socket, still open."""
    with lab.client.network():
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(5)
        s.bind(("", port))
        s.connect((host, 143))
    return s.recv(500).decode().split("] ")[-1].split()[0], s


def start_trace(lab, *options):
    """A trace that has begun; what it prints goes to its log."""
    start_trace.number += 1
    log = f"trace{start_trace.number}"
    process = lab.lb1.spawn(SLUICE, "trace", *options, "--json", log=log)
    wait_until(lambda: "tracing at 1 interface" in trace_text(lab, log), 20, "the trace has begun")
    return process, log


start_trace.number = 0


def trace_text(lab, log):
    with open(os.path.join(lab.logs, f"lb1-{log}.log")) as f:
        return f.read()


def trace_events(lab, log):
    lines = [json.loads(line) for line in trace_text(lab, log).splitlines() if line.startswith("{")]
    return [line for line in lines if "at_us" in line], [line for line in lines if "ok" in line]


def program_id(lab):
    links = lab.lb1.run("ip -j link show dev eth0")
    return json.loads(links)[0]["xdp"]["prog"]["id"]


def test_explain_says_where_a_connection_then_goes(lab):
    told = set()
    for i in range(24):
        host, client = ((VIP, CLIENT), (VIP6, CLIENT6))[i % 2]
        port = 41000 + i
        e = explain(lab, endpoint(client, port), endpoint(host, 143))
        assert e["verdict"] == "tx" and e["reason"] == "forwarded" and e["kind"] == "syn", e
        assert e["service"].startswith("imap") and e["out"] == "eth0" and not e["transition"], e
        server, s = imap_from(lab, host, port)
        s.close()
        assert e["backend"].split("/")[1] == server, (e, server)
        assert e["owner"] == e["backend"]
        mac = json.loads(lab.machines[server].run("ip -j link show dev eth0"))[0]["address"]
        assert e["mac"] == mac, (e, mac)
        told.add(server)
    assert told == {"mx1", "mx2", "mx3"}, told


def test_explain_follows_the_flow_of_a_drained_backend(lab):
    server, s = imap_from(lab, VIP, 42000)
    wait_until(lambda: lab.live("lb1", "imap", server) == 1, 10, "the session is counted")
    lab.sluice("lb1", "drain", server, "--pool", "imap")
    old = explain(lab, f"{CLIENT}:42000", f"{VIP}:143", "--flags", "ack")
    assert old["transition"] and old["flow_asked"] and not old["flow_closing"], old
    assert old["backend"] == old["flow_backend"] == old["previous"] == f"imap/{server}", old
    assert old["owner"] != old["backend"], old
    new = explain(lab, f"{CLIENT}:42001", f"{VIP}:143")
    assert new["backend"] == new["owner"] != f"imap/{server}", new
    lab.sluice("lb1", "undrain", server)
    s.close()
    lab.all_up("lb1")


def test_explain_is_a_table_for_people_and_changes_nothing(lab):
    before = lab.show("lb1", "counters")
    text = lab.sluice("lb1", "explain", f"{CLIENT}:43000", f"{VIP}:25")
    for stage in ("parse", "service", "policy", "slot", "flow", "embryo", "backend", "next hop", "verdict"):
        assert any(line.startswith(stage) for line in text.splitlines()), (stage, text)
    assert "no service at this address and port" in lab.sluice("lb1", "explain", f"{CLIENT}:43000", f"{VIP}:26")
    print("    " + text.replace("\n", "\n    "))
    bad = explain(lab, f"{CLIENT}:43000", f"{VIP}:25", "--flags", "syn|fin")
    assert (bad["verdict"], bad["reason"]) == ("drop", "drop_bad_flags"), bad
    after = lab.show("lb1", "counters")
    for name in ("drop_bad_flags", "drop_internal"):  # others are counted by what else goes on
        assert [r["value"] for r in before if r["counter"] == name] == \
            [r["value"] for r in after if r["counter"] == name], name


def test_explain_refuses_what_is_no_packet(lab):
    for words in ((f"{CLIENT}", f"{VIP}:25"), (f"{CLIENT}:70000", f"{VIP}:25"), ("[::1]:1", f"{VIP}:25"),
                  (f"{CLIENT}:1", f"{VIP}:25", "--flags", "sin"), (f"{CLIENT}:1", f"{VIP}:25", "--interface", "eth9"),
                  (f"{CLIENT}:1", f"{VIP}:25", "--protocol", "icmp")):
        done = lab.sluice("lb1", "explain", *words, check=False)
        assert done.returncode == 1 and done.stderr.startswith("sluice: "), (words, done)
    assert lab.sluice("lb1", "explain", f"{CLIENT}:1", check=False).returncode == 2
    assert lab.sluice("lb1", "drain", "mx1", "--flags", "syn", check=False).returncode == 2


def flows(lab, *options):
    return json.loads(lab.sluice("lb1", "show", "flows", *options, "--json"))


def test_show_flows_has_an_open_session_at_its_backend(lab):
    session = clients.imap_open_at(lab.client, VIP, "mx2")
    port = session.sock.getsockname()[1]
    wait_until(lambda: any(row["client"] == f"{CLIENT}:{port}" for row in flows(lab)["flows"]), 10,
               "the flow is shown")
    answer = flows(lab, "--backend", "mx2", "--client", f"{CLIENT}/24", "--service", "imap")
    row = next(row for row in answer["flows"] if row["client"] == f"{CLIENT}:{port}")
    assert row["vip"] == f"{VIP}:143" and row["service"] == "imap" and row["backend"] == "imap/mx2", row
    assert row["state"] == "live" and row["silent_s"] <= 32, row
    assert all(r["backend"] == "imap/mx2" for r in answer["flows"]), answer
    assert answer["matched"] == len(answer["flows"]) <= answer["total"], answer
    for nothing in (("--backend", "mx1", "--service", "imap"), ("--client", "192.0.2.1"), ("--backend", "smtp/mx2")):
        assert not any(r["client"] == f"{CLIENT}:{port}" for r in flows(lab, *nothing)["flows"]), nothing
    limited = flows(lab, "--limit", "0")
    assert limited["flows"] == [] and limited["shown"] == 0 and limited["total"] >= 1, limited
    text = lab.sluice("lb1", "show", "flows", "--backend", "imap/mx2")
    assert f"{CLIENT}:{port}" in text and "in the table" in text, text
    session.logout()
    wait_until(lambda: not any(r["client"] == f"{CLIENT}:{port}" and r["state"] == "live"
                               for r in flows(lab)["flows"]), 10, "the flow is closing")


def test_trace_shows_a_syn_and_where_it_went_and_ends_at_its_count(lab):
    before = program_id(lab)
    process, log = start_trace(lab, "--client", f"{CLIENT}/32", "--port", "143", "--count", "3")
    assert program_id(lab) != before
    server, s = imap_from(lab, VIP, 44000)
    s.close()
    assert process.wait(20) == 0
    events, ends = trace_events(lab, log)
    assert len(events) == 3 and len(ends) == 1 and ends[0]["seen"] == 3 and ends[0]["lost"] == 0, (events, ends)
    syn = events[0]
    assert syn["client"] == f"{CLIENT}:44000" and syn["vip"] == f"{VIP}:143" and syn["kind"] == "syn", syn
    assert syn["service"] == "imap" and syn["backend"] == f"imap/{server}" and syn["verdict"] == "tx", syn
    assert [e["kind"] for e in events[1:]] == ["established"] * 2, events
    assert program_id(lab) == before, "the program in service is not back"


def test_trace_shows_what_is_no_service_by_its_reason(lab):
    process, log = start_trace(lab, "--reason", "pass_no_service", "--vip", VIP, "--port", "26", "--count", "1")
    clients.http_get(lab.client, VIP)
    with lab.client.network(), socket.socket() as s:
        s.settimeout(1)
        try:
            s.connect((VIP, 26))
        except OSError:
            pass
    assert process.wait(20) == 0
    (event,), _ = trace_events(lab, log)
    assert (event["verdict"], event["reason"], event["backend"]) == ("pass", "pass_no_service", None), event
    assert event["vip"] == f"{VIP}:26" and event["service"] is None, event


def test_second_trace_is_refused_and_a_gone_client_ends_the_first(lab):
    before = program_id(lab)
    process, _ = start_trace(lab, "--port", "1")
    done = lab.sluice("lb1", "trace", "--count", "1", check=False)
    assert done.returncode == 1 and "another trace is running" in done.stderr, done
    lab.lb1.kill(f"^{SLUICE} trace", "KILL")
    process.wait(10)
    wait_until(lambda: program_id(lab) == before, 20, "the program in service is back")


def test_trace_ends_after_its_time(lab):
    process, log = start_trace(lab, "--port", "1", "--for", "1s")
    assert process.wait(20) == 0
    events, ends = trace_events(lab, log)
    assert events == [] and ends[0]["seen"] == 0, ends


def test_trace_goes_on_over_a_reload_and_connections_do_not_notice_either(lab):
    session = clients.imap_open(lab.client, VIP)
    process, log = start_trace(lab, "--port", "143")
    lab.config_write(lab.config().replace('flow_limit = "64K"', 'flow_limit = "128K"'))
    lab.sluice("lb1", "reload")
    lab.all_up("lb1")
    assert {r["key"]: r["value"] for r in lab.show("lb1", "config")}["flow_limit"] == "131072"
    assert clients.imap_works(session)
    wait_until(lambda: clients.imap_works(session) and trace_events(lab, log)[0], 20,
               "packets are seen after the reload")
    lab.lb1.kill(f"^{SLUICE} trace", "INT")
    process.wait(10)
    session.logout()


def test_killed_lb_leaves_no_trace_behind(lab):
    session = clients.imap_open(lab.client, VIP)
    process, _ = start_trace(lab, "--port", "143")
    tracing = program_id(lab)
    lab.lb1.kill("--child lb", "KILL")
    process.wait(20)
    wait_until(lambda: program_id(lab) != tracing, 30, "the program was replaced")
    wait_until(lambda: lab.sluice("lb1", "status", check=False).returncode in (0, 4), 20, "lb is back")
    process, log = start_trace(lab, "--port", "143", "--count", "1")
    assert clients.imap_works(session)
    assert process.wait(20) == 0
    session.logout()
