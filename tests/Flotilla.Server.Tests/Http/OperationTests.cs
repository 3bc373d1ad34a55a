using Flotilla.Server.Tests.Fakes;

namespace Flotilla.Server.Tests.Http;

public sealed class OperationTests
{
    [Fact]
    public async Task Status_config_and_raft_status_have_the_shape_of_the_contract()
    {
        await using var door = await DoorFixture.StartAsync();
        const string nodes = """
            "nodes":[{"id":"n1","http":"127.0.0.1:8001","rpc":"127.0.0.1:50051","alive":true},{"id":"n2","http":"127.0.0.1:8002","rpc":"127.0.0.1:50052","alive":true},{"id":"n3","http":"127.0.0.1:8003","rpc":"127.0.0.1:50053","alive":false}]
            """;
        const string third = """
            {"id":3,"state":"active","mode":"raft","leader":"n3","term":7,"voters":["n1","n2","n3"],"learners":[],"inSync":["n1","n2","n3"],"slots":5460,"ranges":[[10923,16000],[16002,16383]],"version":"7.41"}]
            """;
        var config = await door.GetAsync("/config");
        Assert.StartsWith("{" + nodes + ",\"shards\":[{\"id\":1,", config.Text, StringComparison.Ordinal);
        Assert.EndsWith(third + "}", config.Text, StringComparison.Ordinal);

        var status = await door.GetAsync("/status");
        Assert.Equal(("n1", "False", "0000000000abcdef", "1500"), (status.Of("node"), status.Of("router"), status.Of("clusterId"), status.Of("topologyAgeMs")));
        Assert.Equal(3, status.Json.GetProperty("shards").GetArrayLength());

        var raft = await door.GetAsync("/raft/status");
        Assert.StartsWith("""{"node":"n1","shards":[{"shard":1,"role":"leader","term":7,"leader":"n1","commitIndex":41,"lastApplied":40,"lastLogIndex":42,"snapshotIndex":10,"voters":["n1","n2","n3"],"learners":[],""", raft.Text, StringComparison.Ordinal);
        Assert.Equal("no-store", status.Message.Headers.CacheControl!.ToString());
    }

    [Fact]
    public async Task One_who_asks_for_votes_in_advance_is_a_candidate()
    {
        await using var door = await DoorFixture.StartAsync(gateway: new FakeGateway { View = Views.Node(leader: false) });
        Assert.Equal("candidate", (await door.GetAsync("/raft/status")).Json.GetProperty("shards")[1].GetProperty("role").GetString());
    }

    [Fact]
    public async Task A_node_is_ready_when_its_replicas_are_admitted_and_know_a_leader()
    {
        await using var door = await DoorFixture.StartAsync();
        var ready = await door.GetAsync("/readyz");
        Assert.Equal((200, "text/plain", "ok\n"), (ready.Status, ready.Type, ready.Text));
        Assert.Equal(
            "[+]ping ok\n[+]shutdown ok\n[+]shard-1-admitted ok\n[+]shard-1-leader ok\n[+]shard-2-admitted ok\n[+]shard-2-leader ok\nreadyz check passed\n",
            (await door.GetAsync("/readyz?verbose")).Text);

        door.Gateway.View = Views.Node(leader: false);
        var blind = await door.GetAsync("/readyz");
        Assert.Equal(503, blind.Status);
        Assert.Contains("[-]shard-2-leader failed: no leader known\n", blind.Text, StringComparison.Ordinal);
        Assert.EndsWith("readyz check failed\n", blind.Text, StringComparison.Ordinal);

        door.Gateway.View = Views.Node(admitted: false);
        Assert.Contains("[-]shard-2-admitted failed", (await door.GetAsync("/readyz")).Text, StringComparison.Ordinal);
        Assert.Equal("ok\n", (await door.GetAsync("/livez")).Text);
        Assert.Equal("[+]ping ok\nlivez check passed\n", (await door.GetAsync("/livez?verbose=true")).Text);
    }

    [Fact]
    public async Task A_router_is_ready_when_it_knows_a_leader_of_every_shard()
    {
        await using var door = await DoorFixture.StartAsync(gateway: new FakeGateway { View = Views.Router() });
        Assert.Contains("[-]topology failed", (await door.GetAsync("/readyz")).Text, StringComparison.Ordinal);
        door.Gateway.View = Views.Router("n1", null);
        Assert.Equal(503, (await door.GetAsync("/readyz")).Status);
        door.Gateway.View = Views.Router("n1", "n2");
        Assert.Equal(200, (await door.GetAsync("/readyz")).Status);
        Assert.Equal("True", (await door.GetAsync("/status")).Of("router"));
    }

    [Fact]
    public async Task A_warning_is_named_wherever_an_operator_looks_and_leaves_the_node_ready()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.False((await door.GetAsync("/status")).Json.TryGetProperty("warnings", out _));
        door.Gateway.View = Views.Node() with { Warnings = ["the disk of node n1 is nearly full"] };
        var ready = await door.GetAsync("/readyz");
        Assert.Equal(200, ready.Status);
        Assert.Contains("\n[!]the disk of node n1 is nearly full\n", ready.Text, StringComparison.Ordinal);
        foreach (var route in new[] { "/status", "/raft/status" })
        {
            Assert.Equal("the disk of node n1 is nearly full", (await door.GetAsync(route)).Json.GetProperty("warnings")[0].GetString());
        }
    }

    [Fact]
    public async Task A_node_without_a_cluster_answers_probes_alone_and_tells_everybody_else_what_to_do()
    {
        string? reason = "Node n4 belongs to no cluster yet. Add it.";
        await using var door = await DoorFixture.StartAsync(o => o with { NotJoined = () => reason, Waiting = () => new("n4", "127.0.0.1:50054", 7) });
        var who = (await door.GetAsync("/status")).Json.GetProperty("node");
        Assert.Equal(("n4", "127.0.0.1:50054", 7), (who.GetProperty("id").GetString(), who.GetProperty("rpc").GetString(), who.GetProperty("shard").GetInt32()));
        foreach (var (method, target) in new[] { ("GET", "/kv/a"), ("PUT", "/kv/a"), ("PATCH", "/kv/a"), ("GET", "/status"), ("GET", "/"), ("GET", "/openapi/v1.json"), ("GET", "/nowhere"), ("POST", "/raft/join") })
        {
            Assert.Equal("Node n4 belongs to no cluster yet. Add it. Nothing was read or written.", (await door.SendAsync(method, target)).IsProblem(503, "not_joined"));
        }

        Assert.Empty(door.Gateway.Writes);
        Assert.Empty(door.Gateway.Reads);
        Assert.Equal(200, (await door.GetAsync("/livez")).Status);
        Assert.Equal(200, (await door.GetAsync("/metrics")).Status);
        var ready = await door.GetAsync("/readyz");
        Assert.Equal(503, ready.Status);
        Assert.Contains("[-]membership failed: Node n4 belongs to no cluster yet. Add it.\n", ready.Text, StringComparison.Ordinal);
        reason = null;
        Assert.Equal(200, (await door.GetAsync("/status")).Status);
        Assert.DoesNotContain("membership", (await door.GetAsync("/readyz")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_status_page_needs_nothing_but_this_server()
    {
        await using var door = await DoorFixture.StartAsync();
        var page = await door.GetAsync("/");
        Assert.Equal((200, "text/html"), (page.Status, page.Type));
        Assert.Contains("ask(\"/status\")", page.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("//", page.Text.Replace("<!doctype html>", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.DoesNotContain("innerHTML", page.Text, StringComparison.Ordinal);
        Assert.StartsWith("default-src 'none'", page.Message.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/config")]
    [InlineData("/status")]
    public async Task Slots_on_their_way_are_shown_with_their_shards(string route)
    {
        await using var door = await DoorFixture.StartAsync();
        var shards = (await door.GetAsync(route)).Json.GetProperty("shards");
        Assert.Equal(
            """[{"shard":2,"direction":"out","stage":"staging","slots":64,"records":1300,"recordsTotal":4100,"bytes":163840,"beganMs":1763756000123},{"shard":3,"direction":"in","stage":"ending","slots":0,"records":0}]""",
            shards[0].GetProperty("moves").GetRawText());
        Assert.False(shards[1].TryGetProperty("moves", out _));
    }

    [Fact]
    public async Task Metrics_count_requests_and_show_the_process_and_its_shards()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.PutAsync("/kv/a", "v");
        await door.GetAsync("/kv/none");
        await door.GetAsync("/kv/none2");
        Reply metrics = null!;
        await Until.TrueAsync(
            async () => (metrics = await door.GetAsync("/metrics")).Text.Contains("flotilla_http_requests_total{code=\"404\",route=\"/kv/{key}\"} 2\n", StringComparison.Ordinal),
            "both misses are counted");
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", metrics.Message.Content.Headers.ContentType!.ToString());
        foreach (var line in new[]
        {
            "# TYPE flotilla_http_requests_total counter",
            "flotilla_http_requests_total{code=\"200\",route=\"/kv/{key}\"} 1",
            "# TYPE flotilla_http_request_duration_seconds histogram",
            "flotilla_http_request_duration_seconds_bucket{route=\"/kv/{key}\",le=\"+Inf\"} 3",
            "flotilla_http_request_duration_seconds_count{route=\"/kv/{key}\"} 3",
            "flotilla_http_requests_in_flight 1",
            "flotilla_shard_role{shard=\"1\",role=\"leader\"} 1",
            "flotilla_shard_role{shard=\"1\",role=\"follower\"} 0",
            "flotilla_shard_role{shard=\"2\",role=\"follower\"} 1",
            "flotilla_shard_term{shard=\"1\"} 7",
            "flotilla_shard_commit_index{shard=\"1\"} 41",
            "flotilla_shard_applied_index{shard=\"1\"} 40",
            "flotilla_shard_keys{shard=\"1\"} 5",
            "flotilla_shard_bytes{shard=\"1\"} 500",
            "flotilla_shard_slots{shard=\"1\"} 5461",
            "flotilla_shard_moves{shard=\"1\",direction=\"out\",stage=\"staging\"} 1",
            "flotilla_shard_moves{shard=\"1\",direction=\"out\",stage=\"frozen\"} 0",
            "flotilla_shard_moves{shard=\"1\",direction=\"in\",stage=\"ending\"} 1",
            "flotilla_node_alive{node=\"n3\"} 0",
            "flotilla_topology_age_seconds 1.5",
        })
        {
            Assert.Contains(line + "\n", metrics.Text, StringComparison.Ordinal);
        }

        foreach (var name in new[] { "flotilla_process_cpu_seconds_total", "flotilla_process_resident_memory_bytes", "flotilla_process_gc_heap_bytes", "flotilla_process_uptime_seconds" })
        {
            var sample = metrics.Text.Split('\n').Single(l => l.StartsWith(name + " ", StringComparison.Ordinal));
            Assert.True(double.Parse(sample.Split(' ')[1]) >= 0, sample);
        }

        Assert.Contains("version=\"1.2.3\"", metrics.Text, StringComparison.Ordinal);
    }
}
