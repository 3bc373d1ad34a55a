using System.Buffers;
using System.Net;
using Flotilla.Contracts;
using Flotilla.Data;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Server.Http;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Topology;
using Flotilla.Wire.Backups;

namespace Flotilla.Server.Tests.Http;

/// <summary><c>GET /backup</c>.</summary>
public sealed class BackupTests
{
    [Theory]
    [InlineData("/backup")]
    [InlineData("/backup?shard=")]
    [InlineData("/backup?shard=one")]
    [InlineData("/backup?shard=-1")]
    [InlineData("/backup?shard=1&shard=2")]
    [InlineData("/backup?shrad=1")]
    [InlineData("/backup?shard=99")]
    public async Task A_request_that_names_no_shard_is_refused(string target)
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.GetAsync(target);
        Assert.Equal((400, "bad_request"), (reply.Status, reply.Of("code")));
    }

    [Fact]
    public async Task A_process_without_replicas_names_the_leader()
    {
        await using var door = await DoorFixture.StartAsync();
        var reply = await door.GetAsync("/backup?shard=1");
        Assert.Equal((409, "not_leader"), (reply.Status, reply.Of("code")));
        Assert.Equal("127.0.0.1:8001", reply.Json.GetProperty("leader").GetProperty("http").GetString());
    }

    [Fact]
    public async Task The_blocks_of_the_image_come_in_frames_between_a_head_and_an_end()
    {
        var machine = new StateMachine(new BTree(), []);
        var image = machine.TakeImage(default);
        await using var backups = await FakeBackups.StartAsync(new BackupAnswer(ResultCode.Ok, 77, image, default, null, null));
        using var client = new HttpClient();
        await using var stream = await client.GetStreamAsync(new Uri(backups.Url + "/backup?shard=3"), TestContext.Current.CancellationToken);
        var frames = new BackupFrameReader(stream);
        Assert.Equal(new BackupShard(77, 3), BackupShard.Decode(await NextAsync(frames)));
        var blocks = new ImageWriter(image);
        var buffer = new ArrayBufferWriter<byte>();
        var count = 0;
        while (blocks.TryWrite(buffer))
        {
            var frame = await NextAsync(frames);
            Assert.Equal(BackupFrameKind.Block, frame.Kind);
            Assert.Equal(buffer.WrittenMemory.ToArray(), frame.Content.ToArray());
            buffer.ResetWrittenCount();
            count++;
        }

        Assert.Equal(new BackupShardEnd(count, 0), BackupShardEnd.Decode(await NextAsync(frames)));
        Assert.Null(await frames.ReadAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task What_the_node_says_instead_of_a_state_reaches_the_client()
    {
        await using var backups = await FakeBackups.StartAsync(new BackupAnswer(ResultCode.NotLeader, 77, null, new NodeId("n9"), "127.0.0.1:9", "no replica here"));
        using var client = new HttpClient();
        using var answer = await client.GetAsync(new Uri(backups.Url + "/backup?shard=3"), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Conflict, answer.StatusCode);
        var body = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Contains("no replica here", body, StringComparison.Ordinal);
        Assert.Contains("{\"node\":\"n9\",\"http\":\"127.0.0.1:9\"}", body, StringComparison.Ordinal);
    }

    private static async Task<BackupFrame> NextAsync(BackupFrameReader frames) => (await frames.ReadAsync(TestContext.Current.CancellationToken))!.Value;

    private sealed class FakeBackups(BackupAnswer answer) : IBackups, IAsyncDisposable
    {
        private HttpDoor? _door;

        public string Url => _door!.Url;

        public static async Task<FakeBackups> StartAsync(BackupAnswer answer)
        {
            var backups = new FakeBackups(answer);
            backups._door = HttpDoor.Build(new HttpDoorOptions { Listen = new HostPort("127.0.0.1", 0) }, new FakeGateway(), null, backups);
            await backups._door.StartAsync(TestContext.Current.CancellationToken);
            return backups;
        }

        public ValueTask<BackupAnswer> TakeAsync(ShardId shard) => ValueTask.FromResult(answer);

        public ValueTask DisposeAsync() => _door!.DisposeAsync();
    }
}
