using System.Text;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Server.Tests.Http;

public sealed class ChangeTests
{
    [Theory]
    [InlineData("POST", "/raft/join", "nodeid=n4&addr=127.0.0.1%3A50054", "add n4 at 127.0.0.1:50054 hosted 30")]
    [InlineData("POST", "/raft/join", "nodeid=n4&addr=127.0.0.1:50054&shard=2&unknown=x", "add n4 at 127.0.0.1:50054 shard 2 30")]
    [InlineData("POST", "/raft/join?nodeid=n4&shard=all&waitSeconds=1.5", "", "add n4 at ? all 1.5")]
    [InlineData("GET", "/raft/join?nodeid=n4&addr=localhost:50054&waitSeconds=0", "", "add n4 at localhost:50054 hosted 0")]
    [InlineData("POST", "/raft/leave", "nodeid=n4", "remove n4 hosted 30")]
    [InlineData("GET", "/AddVoter/127.0.0.1:50054/n4", "", "add n4 at 127.0.0.1:50054 hosted 30")]
    [InlineData("POST", "/AddVoter/127.0.0.1%3A50054/n4?shard=3", "", "add n4 at 127.0.0.1:50054 shard 3 30")]
    [InlineData("POST", "/raft/transfer?shard=2&nodeid=n1", "", "transfer 2 to n1 30")]
    [InlineData("POST", "/raft/transfer", "shard=2", "transfer 2 to anyone 30")]
    [InlineData("POST", "/raft/snapshot", "", "snapshot hosted 30")]
    public async Task A_change_is_asked_for_in_the_query_or_in_a_form(string method, string target, string form, string asked)
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.SendAsync(method, target, bytes: form.Length > 0 ? Encoding.UTF8.GetBytes(form) : null, headers: form.Length > 0 ? [("Content-Type", "application/x-www-form-urlencoded")] : []);
        Assert.Equal(200, reply.Status);
        Assert.Equal(asked, Assert.Single(door.Changes.Asked));
        Assert.True(reply.Json.GetProperty("done").GetBoolean());
        Assert.Equal("n4 votes", reply.Json.GetProperty("shards")[0].GetProperty("detail").GetString());
    }

    [Theory]
    [InlineData("/raft/join", "nodeid=2&addr=localhost:18022", "add 3-2 at localhost:18022 hosted 30")]
    [InlineData("/raft/join", "nodeid=2&addr=localhost:18022&shard=2", "add 2-2 at localhost:18022 shard 2 30")]
    [InlineData("/raft/join", "nodeid=2-2&addr=localhost:18022", "add 2-2 at localhost:18022 hosted 30")]
    [InlineData("/raft/leave", "nodeid=2", "remove 3-2 hosted 30")]
    [InlineData("/AddVoter/localhost:18022/2", "", "add 3-2 at localhost:18022 hosted 30")]
    [InlineData("/raft/transfer", "shard=3&nodeid=2", "transfer 3 to 3-2 30")]
    public async Task A_process_of_one_shard_knows_the_nodes_of_shards_by_their_numbers(string target, string form, string asked)
    {
        await using var door = await DoorFixture.StartAsync(o => o with { Single = new ShardId(3) });
        var reply = await door.SendAsync("POST", target, bytes: Encoding.UTF8.GetBytes(form), headers: [("Content-Type", "application/x-www-form-urlencoded")]);
        Assert.Equal((200, asked), (reply.Status, Assert.Single(door.Changes.Asked)));
    }

    [Theory]
    [InlineData("/config/mode", """{"mode":"sync","shards":"all"}""", "mode Sync of all 30")]
    [InlineData("/config/mode?waitSeconds=2", """{"mode":"raft"}""", "mode Raft of all 2")]
    [InlineData("/config/mode", """{"mode":"sync","shards":[1,3]}""", "mode Sync of 1,3 30")]
    public async Task A_mode_is_switched_for_all_shards_or_for_some(string target, string body, string asked)
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.SendAsync("PUT", target, bytes: Encoding.UTF8.GetBytes(body));
        Assert.Equal(200, reply.Status);
        Assert.Equal(asked, Assert.Single(door.Changes.Asked));
        Assert.True(reply.Json.GetProperty("done").GetBoolean());
    }

    [Theory]
    [InlineData("")]
    [InlineData("sync")]
    [InlineData("[]")]
    [InlineData("""{"shards":"all"}""")]
    [InlineData("""{"mode":7}""")]
    [InlineData("""{"mode":"best"}""")]
    [InlineData("""{"mode":"sync","shards":"some"}""")]
    [InlineData("""{"mode":"sync","shards":[]}""")]
    [InlineData("""{"mode":"sync","shards":[0]}""")]
    [InlineData("""{"mode":"sync","shards":["1"]}""")]
    public async Task A_switch_that_makes_no_sense_is_told_what_is_expected(string body)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Contains("raft", (await door.SendAsync("PUT", "/config/mode", bytes: Encoding.UTF8.GetBytes(body))).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        Assert.Empty(door.Changes.Asked);
    }

    [Theory]
    [InlineData("GET", "/addshard?shardID=4&shardAddress=localhost:8041", "", "add shard 4 at localhost:8041")]
    [InlineData("POST", "/addshard", "shardID=4", "add shard 4 at ?")]
    [InlineData("GET", "/removeshard?shardID=4", "", "remove shard 4")]
    public async Task A_shard_is_added_and_removed_with_an_answer_at_once(string method, string target, string form, string asked)
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.SendAsync(method, target, bytes: form.Length > 0 ? Encoding.UTF8.GetBytes(form) : null, headers: form.Length > 0 ? [("Content-Type", "application/x-www-form-urlencoded")] : []);
        Assert.Equal(200, reply.Status);
        Assert.Equal(asked, Assert.Single(door.Changes.Asked));
        Assert.Equal("joining", reply.Json.GetProperty("state").GetString());
        door.Changes.Life = new(ChangeCode.Refused, new ShardId(4), null, default, "Shard 4 exists already.");
        Assert.Contains("exists already", (await door.SendAsync("GET", "/addshard?shardID=4")).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        door.Changes.Life = new(ChangeCode.Unknown, new ShardId(4), null, default, "There is no shard 4.");
        Assert.Contains("no shard 4", (await door.SendAsync("GET", "/removeshard?shardID=4")).IsProblem(404, "not_found"), StringComparison.Ordinal);
        (await door.SendAsync("GET", "/addshard?shardID=x")).IsProblem(400, "bad_request");
        (await door.SendAsync("GET", "/addshard?shardID=4&shardAddress=nowhere")).IsProblem(400, "bad_request");
    }

    [Theory]
    [InlineData("POST", "/raft/join?addr=127.0.0.1:1", "nodeid")]
    [InlineData("POST", "/raft/join?nodeid=a%2Fb&addr=127.0.0.1:1", "can't name a node")]
    [InlineData("POST", "/raft/join?nodeid=n4&addr=nowhere", "HOST:PORT")]
    [InlineData("POST", "/raft/join?nodeid=n4&nodeid=n5", "given twice")]
    [InlineData("POST", "/raft/join?nodeid=n4&addr=127.0.0.1:1&shard=x", "the number of a shard")]
    [InlineData("POST", "/raft/join?nodeid=n4&addr=127.0.0.1:1&waitSeconds=31", "0 to 30")]
    [InlineData("POST", "/raft/join?nodeid=n4&addr=127.0.0.1:1&waitSeconds=NaN", "0 to 30")]
    [InlineData("POST", "/raft/leave", "nodeid")]
    [InlineData("POST", "/raft/leave?nodeid=%zz", "percent-encoded")]
    [InlineData("GET", "/AddVoter/n4", "/AddVoter/HOST:RPC/ID")]
    [InlineData("GET", "/AddVoter/x/n4", "HOST:PORT")]
    [InlineData("POST", "/raft/transfer?nodeid=n1", "shard")]
    [InlineData("POST", "/raft/transfer?shard=all", "shard")]
    public async Task What_makes_no_sense_is_told_why(string method, string target, string why)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Contains(why, (await door.SendAsync(method, target)).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        Assert.Empty(door.Changes.Asked);
    }

    [Fact]
    public async Task What_is_under_way_is_answered_202_with_how_it_stands()
    {
        await using var door = await DoorFixture.StartAsync();
        door.Changes.Answer = new(ChangeCode.UnderWay, [new(new ShardId(1), ChangeCode.Done, null), new(new ShardId(2), ChangeCode.UnderWay, "n4 is a learner, 12 entries behind")], null);
        var reply = await door.SendAsync("POST", "/raft/join?nodeid=n4&addr=127.0.0.1:1&waitSeconds=0");
        Assert.Equal(202, reply.Status);
        Assert.False(reply.Json.GetProperty("done").GetBoolean());
        Assert.Equal("n4 is a learner, 12 entries behind", reply.Json.GetProperty("shards")[1].GetProperty("detail").GetString());
    }

    [Theory]
    [InlineData(ChangeCode.Busy, 503, "change_under_way")]
    [InlineData(ChangeCode.NotLeader, 503, "no_quorum")]
    [InlineData(ChangeCode.NotReady, 503, "no_quorum")]
    [InlineData(ChangeCode.Unreachable, 503, "replica_unavailable")]
    [InlineData(ChangeCode.WouldStop, 503, "replica_unavailable")]
    [InlineData(ChangeCode.WrongNode, 409, "wrong_node")]
    [InlineData(ChangeCode.OtherCluster, 409, "other_cluster")]
    [InlineData(ChangeCode.SeatIsTaken, 409, "seat_taken")]
    [InlineData(ChangeCode.OtherShard, 409, "other_shard")]
    [InlineData(ChangeCode.LastVoter, 409, "last_voter")]
    [InlineData(ChangeCode.TooManyMembers, 409, "too_many_members")]
    [InlineData(ChangeCode.Unknown, 404, "not_found")]
    [InlineData(ChangeCode.Refused, 400, "bad_request")]
    public async Task Each_refusal_has_its_code_and_says_what_to_do(object code, int status, string name)
    {
        await using var door = await DoorFixture.StartAsync();
        door.Changes.Answer = new((ChangeCode)code, [], "Shard 1: do this.");
        var reply = await door.SendAsync("POST", "/raft/leave?nodeid=n4");
        Assert.Equal("Shard 1: do this.", reply.IsProblem(status, name));
        Assert.Equal(status == 503, reply.Message.Headers.RetryAfter is not null);
    }

    [Fact]
    public async Task A_form_that_never_ends_is_refused()
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.SendAsync("POST", "/raft/leave", bytes: new byte[17 << 10]);
        Assert.Contains("16384 bytes", reply.IsProblem(400, "bad_request"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_was_removed_says_so_and_one_that_has_just_joined_is_ready()
    {
        await using var door = await DoorFixture.StartAsync();
        door.Gateway.View = Views.Node() with { Local = [.. Views.Node().Local.Select(r => r with { Standing = Node.Standing.Removed })] };
        var reply = await door.GetAsync("/readyz");
        Assert.Equal(503, reply.Status);
        Assert.Contains("[-]membership failed: this node was removed from every shard", reply.Text, StringComparison.Ordinal);
        Assert.Contains("flotilla add-node n1", reply.Text, StringComparison.Ordinal);
        Assert.Equal("removed", (await door.GetAsync("/raft/status")).Json.GetProperty("shards")[0].GetProperty("role").GetString());
        door.Gateway.View = Views.Node() with { Local = [], Shards = Views.Router("n1", "n2").Shards };
        Assert.Equal(200, (await door.GetAsync("/readyz")).Status);
    }

    [Fact]
    public async Task A_refusal_of_one_shard_says_how_it_stands_in_the_others()
    {
        await using var door = await DoorFixture.StartAsync();
        door.Changes.Answer = new(
            ChangeCode.WouldStop, [new(new ShardId(1), ChangeCode.Done, null), new(new ShardId(2), ChangeCode.WouldStop, "it would stop"), new(new ShardId(3), ChangeCode.UnderWay, "n4 is being removed")], "Shard 2: it would stop.");
        var reply = await door.SendAsync("POST", "/raft/leave?nodeid=n4");
        Assert.Equal("Shard 2: it would stop.", reply.IsProblem(503, "replica_unavailable"));
        var shards = reply.Json.GetProperty("shards");
        Assert.Equal([(1, true), (2, false), (3, false)], shards.EnumerateArray().Select(s => (s.GetProperty("shard").GetInt32(), s.GetProperty("done").GetBoolean())));
        Assert.Equal("n4 is being removed", shards[2].GetProperty("detail").GetString());
        Assert.Equal("Shard 2: it would stop. Elsewhere: shard 1: done; shard 3: n4 is being removed.", Server.Grpc.KvStatus.Of(door.Changes.Answer).Message);
    }
}
