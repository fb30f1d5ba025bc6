"""A server that passes on what comes in to one that knows nothing of Weir: processes over sockets."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.relay.recorder import Answer, Recorder
from tests.gateway.relay.servers import FAST, JSON_LOG, events, metric, push, running, server
from tests.server import wait_until


def test_what_comes_in_is_passed_on_in_order_with_labels_and_metadata(tmp_path: Path) -> None:
    with Recorder() as loki:
        edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, [f"line {at}" for at in range(25)])
            push(edge.url, ["level=error one more"], {"app": "web"})
            assert wait_until(lambda: len(loki.entries) == 26)
            assert wait_until(lambda: metric(edge.url, "archived_records_total") == 26)
            assert wait_until(lambda: metric(edge.url, "backlog_records") == 0)
            started, archived = events(edge, "batch started"), events(edge, "batch archived")
            assert [each["batch"] for each in started] == [push.id for push in loki.pushes]
            assert [(each["batch"], each["records"]) for each in archived] == [
                (push.id, len(push.entries)) for push in loki.pushes
            ]
            assert {(each["size"], each["percent"]) for each in (*started, *archived)} == {(1000, 100)}
    api = [entry for entry in loki.entries if dict(entry[0])["app"] == "api"]
    assert [line for _, _, line, _ in api] == [f"line {at}".encode() for at in range(25)]
    assert dict(api[7][3])["n"] == b"7"
    (web,) = [entry for entry in loki.entries if dict(entry[0])["app"] == "web"]
    assert dict(web[0]) == {"app": "web", "service_name": "web"}
    assert dict(web[3])["detected_level"] == b"error"
    pushed = loki.pushes[0]
    assert pushed.path == "/loki/api/v1/push"
    assert pushed.headers["x-weir-instance"] == "edge"
    assert "x-scope-orgid" not in pushed.headers
    assert pushed.headers["content-encoding"] == "gzip"


def test_failures_make_batches_smaller_and_the_same_batch_comes_again(tmp_path: Path) -> None:
    failing = (Answer(500, "ring is empty"), Answer(429, "slow down", {"Retry-After": "0"}), Answer(0))
    with Recorder(*failing) as loki:
        edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, ["one", "two"])
            assert wait_until(lambda: metric(edge.url, "archived_records_total") == 2)
            push(edge.url, ["three"])
            assert wait_until(lambda: loki.lines == ["one", "two", "three"])
            assert wait_until(lambda: metric(edge.url, "batch_size") == 619)
            assert metric(edge.url, "retries_total") == 3
            assert metric(edge.url, "consecutive_failures") == 0
            first, *again = [push.id for push in loki.pushes[:4]]
            assert again == [first] * 3
            assert loki.pushes[4].id != first
            sizes = [(each["size"], each["percent"]) for each in events(edge, "batch size changed")]
            assert sizes == [(800, 80), (640, 64), (512, 51), (563, 56), (619, 62)]
            failed = events(edge, "batch failed")
            assert [each["batch"] for each in failed] == [first] * 3
            assert [each["error"] for each in failed[:2]] == ["HTTP 500: ring is empty", "HTTP 429: slow down"]


def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    with Recorder(Answer(503, "busy", {"Retry-After": "3600"})) as loki:
        edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, ["one"])
            assert wait_until(lambda: bool(events(edge, "batch failed")))
            assert float(events(edge, "batch failed")[0]["again_in"]) >= 3600
            assert edge.stop() == 0  # and nobody waits for it at the stop


def test_a_refused_batch_is_set_aside_and_the_next_ones_go_on(tmp_path: Path) -> None:
    with Recorder(Answer(400, "entry too far behind")) as loki:
        edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, ["bad"])
            assert wait_until(lambda: metric(edge.url, "refused_records") == 1)
            push(edge.url, ["good"])
            assert wait_until(lambda: metric(edge.url, "archived_records_total") == 1)
            assert loki.lines == ["good"]
            (refused,) = events(edge, "batch refused")
            assert refused["error"] == "HTTP 400: entry too far behind"
            assert refused["batch"] == loki.pushes[0].id
            edge.kill()
            edge.start()
            assert wait_until(lambda: metric(edge.url, "refused_records") == 1)
        assert len(loki.pushes) == 2


def test_too_large_a_batch_is_halved_until_it_is_taken_and_a_row_that_is_not_is_set_aside(tmp_path: Path) -> None:
    too_large = Answer(413, "too large")
    # Of four rows: all, the first half, its first row (refused), its second, the second half.
    with Recorder(too_large, too_large, too_large) as loki:
        edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, ["0", "1", "2", "3"])
            assert wait_until(lambda: metric(edge.url, "archived_records_total") == 3)
            assert loki.lines == ["1", "2", "3"]
            assert [len(push.entries) for push in loki.pushes] == [4, 2, 1, 1, 2]
            assert len({push.id for push in loki.pushes}) == 5
            assert metric(edge.url, "refused_records") == 1


def test_a_destination_that_is_too_slow_gets_less_at_a_time(tmp_path: Path) -> None:
    with Recorder() as loki:
        loki.otherwise = Answer(seconds=60, taken=False, status=500)
        settings = FAST | JSON_LOG | {"upstream.url": loki.url, "upstream.timeout": "400ms"}
        edge = server(tmp_path / "edge", settings)
        with running(edge):
            push(edge.url, [str(at) for at in range(8)])
            assert wait_until(lambda: bool(events(edge, "batch halved")))
            loki.otherwise = Answer()
            assert wait_until(lambda: metric(edge.url, "archived_records_total") == 8)
            assert loki.lines == [str(at) for at in range(8)]
            first = events(edge, "batch started")[0]["batch"]
            assert [each["batch"] for each in events(edge, "batch failed")][:3] == [first] * 3
            assert all(len(push.entries) <= 4 for push in loki.pushes if push.status == 204)


def test_a_batch_in_flight_ends_before_the_server_does(tmp_path: Path) -> None:
    with Recorder(Answer(seconds=0.5)) as loki:
        edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, ["one"])
            assert wait_until(lambda: len(loki.pushes) == 1)
            assert edge.stop() == 0
            assert [each["batch"] for each in events(edge, "batch archived")] == [loki.pushes[0].id]
            edge.start()
            push(edge.url, ["two"])
            assert wait_until(lambda: loki.lines == ["one", "two"])


def test_a_batch_that_a_stop_or_a_kill_cut_is_sent_again_under_its_id(tmp_path: Path) -> None:
    never = Answer(seconds=60, taken=False, status=500)
    with Recorder(never, never) as loki:
        settings = FAST | {"upstream.url": loki.url, "server.shutdown_timeout": "100ms"}
        edge = server(tmp_path / "edge", settings)
        with running(edge):
            push(edge.url, ["one", "two"])
            assert wait_until(lambda: len(loki.pushes) == 1)
            push(edge.url, ["three"])
            assert edge.stop() == 0
            edge.start()
            assert wait_until(lambda: len(loki.pushes) == 2)
            edge.kill()
            edge.start()
            assert wait_until(lambda: loki.lines == ["one", "two", "three"])
        assert len({push.id for push in loki.pushes[:3]}) == 1
        assert len({push.entries for push in loki.pushes[:3]}) == 1


def test_what_is_too_much_to_wait_is_given_up_from_the_oldest(tmp_path: Path) -> None:
    with Recorder() as loki:
        loki.otherwise = Answer(503)
        settings = FAST | JSON_LOG | {"upstream.url": loki.url, "upstream.max_backlog": "100", "upstream.batch_size": 4}
        edge = server(tmp_path / "edge", settings)
        with running(edge):
            push(edge.url, [f"{at:010}" for at in range(30)])
            assert wait_until(lambda: metric(edge.url, "removed_records_total") == 20)
            assert wait_until(lambda: metric(edge.url, "backlog_bytes") == 100)
            assert sum(int(each["records"]) for each in events(edge, "batch given up")) == 20
            loki.otherwise = Answer()
            assert wait_until(lambda: loki.lines == [f"{at:010}" for at in range(20, 30)])


def test_what_a_relay_that_was_taken_out_of_the_settings_had_to_send_is_kept_and_told(tmp_path: Path) -> None:
    with Recorder() as loki:
        loki.otherwise = Answer(503)
        edge = server(tmp_path / "edge", FAST | {"upstream.url": loki.url})
        with running(edge):
            push(edge.url, ["one"])
            assert wait_until(lambda: metric(edge.url, "retries_total") > 0)
            edge.kill()
            without = server(tmp_path / "edge", JSON_LOG)
            with running(without):
                assert "relay upstream is in no setting any more" in without.log_text
                without.kill()
            loki.otherwise = Answer()
            edge.start()
            assert wait_until(lambda: loki.lines == ["one"])
