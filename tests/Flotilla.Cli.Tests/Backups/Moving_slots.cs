using System.Collections.Concurrent;
using System.Globalization;
using Flotilla.Cli.Backup;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Client;
using Flotilla.Contracts.Http;
using Flotilla.Topology;
using Flotilla.Wire.Backups;
using Flotilla.Wire.Peers;

namespace Flotilla.Cli.Tests.Backups;

/// <summary>Backups while slots move from shard to shard.</summary>
public sealed class Moving_slots
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(10);

    [Fact]
    public void A_slot_counts_where_it_is_owned_last_and_not_where_nobody_serves_it()
    {
        var slot = new Slot(7);
        var cover = new SlotCover();
        Image(cover, 1, 10);
        Image(cover, 3, 20);
        Image(cover, 2, 30); // An older owner, of whom the slot has not been taken yet.
        Assert.Equal((2, 20L, (UInt128)20), (cover.ImageOf(slot), cover.Records, cover.Content));
        Image(cover, 3, 40);
        Image(cover, 4, 50, isFrozen: true);
        Assert.Equal((4, 40L), (cover.ImageOf(slot), cover.Records));
        Assert.Equal(Slot.Count - 1, cover.Missing.Count);

        void Image(SlotCover to, uint epoch, int records, bool isFrozen = false)
        {
            to.Begin();
            for (var i = 0; i < records; i++)
            {
                to.Add(slot, 1);
            }

            to.End(SlotEpochs.Of(SlotSet.Of([slot]), new SlotEpoch(epoch)), isFrozen ? SlotSet.Of([slot]) : SlotSet.Empty);
        }
    }

    [Fact]
    public async Task Slots_that_were_in_none_of_the_images_are_fetched_from_whoever_has_them_now()
    {
        var moving = SlotSet.Of([Slot.Of("goes"u8)]);
        await using var server = await FakeServer.StartAsync();
        server.Status = Cluster(server);
        var asked = new ConcurrentQueue<int>();
        server.Backup = shard =>
        {
            asked.Enqueue(shard);
            return (shard, asked.Count(s => s == shard)) switch
            {
                // Before the slot came; after it had left; and once more.
                (1, 1) => Samples.Sent(1, Samples.ImageOf(1000, Low.Except(moving), Samples.Put("b", "old"))),
                (2, _) => Samples.Sent(2, Samples.ImageOf(1000, SlotSet.All.Except(Low), Samples.Put("a", "2"))),
                _ => Samples.Sent(1, Samples.ImageOf(2000, Low, Samples.Put("b", "new"), Samples.Put("goes", "here"))),
            };
        };
        var file = Path.Combine(Terminal.TempDir(), "b");
        var backup = await Terminal.RunAsync(["backup", file], new Env { ["FLOTILLA_ENDPOINT"] = server.Url });
        Assert.True(backup.Exit == 0, backup.Err);
        Assert.Contains("3 records of 2 shards", backup.Err, StringComparison.Ordinal);
        Assert.Equal([1, 2, 1], asked);
        var (summary, records) = await Samples.ReadAsync(file);
        Assert.Equal((3L, 2), (summary.Records, summary.Shards));
        Assert.Equal(["a=2", "b=new", "goes=here"], records.Select(static r => $"{r.Key}={r.Value.Value}"));

        // What a later image replaces is not put either.
        Assert.Equal(0, (await Terminal.RunAsync(["restore", file], new Env { ["FLOTILLA_ENDPOINT"] = server.Url })).Exit);
        Assert.Equal(["a=2", "b=new", "goes=here"], server.Applied.Select(static a => $"{a.Key}={a.Value}").Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_file_without_all_slots_is_refused_unless_it_is_of_the_format_that_could_not_tell()
    {
        foreach (var format in (ushort[])[1, 2])
        {
            var path = Path.Combine(Terminal.TempDir(), "b");
            using (var file = BackupFile.Create(path, new BackupHead(Samples.ClusterId, 1, 1) { Format = format }))
            {
                var image = Samples.ImageOf(1000, Low, Samples.Put("b", "1"));
                var blocks = Samples.Blocks(image);
                file.Begin(new BackupShard(Samples.ClusterId, 1));
                blocks.ForEach(block => file.Add(block));
                file.End(new BackupShardEnd(blocks.Count, image.Records.Count));
                file.Complete();
            }

            if (format == 1)
            {
                Assert.Equal(1, (await Samples.ReadAsync(path)).Summary.Records);
            }
            else
            {
                Assert.Contains("not all slots are in it", (await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(path))).Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public async Task Slots_that_nobody_has_end_a_backup_without_a_file()
    {
        await using var server = await FakeServer.StartAsync();
        server.Status = Cluster(server);
        server.Backup = shard => Samples.Sent(shard, Samples.ImageOf(1000, shard == 1 ? Low.Except(SlotSet.Of([new Slot(5)])) : SlotSet.All.Except(Low)));
        var folder = Terminal.TempDir();
        var backup = await Terminal.RunAsync(["backup", Path.Combine(folder, "b")], new Env { ["FLOTILLA_ENDPOINT"] = server.Url });
        Assert.Equal(5, backup.Exit);
        Assert.Contains("1 slots moved from shard to shard whenever their shard was read", backup.Err, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(folder));
    }

    [Fact]
    public async Task Everything_acknowledged_before_is_in_each_backup_that_is_taken_while_a_shard_comes_and_goes()
    {
        await using var cluster = await RealCluster.StartAsync(nodes: 1, shards: 2, replicas: 1);
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [cluster.Nodes[0].Http], Timeout = TimeSpan.FromSeconds(60), DirectRouting = true });
        var acknowledged = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        using var stop = new CancellationTokenSource();
        var writing = Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var key = $"k{i % 300}";
                if ((await client.PutAsync(Samples.Bytes(key), Samples.Bytes($"{i}"), null, CancellationToken.None)).Outcome == CallOutcome.Ok)
                {
                    acknowledged[key] = i;
                }
            }
        }, TestContext.Current.CancellationToken);
        await UntilAsync(() => acknowledged.Count == 300);

        // The same numbers are never used again, so each comes once: its slots come, and go.
        for (var number = 3; number < 5; number++)
        {
            var shard = new ShardId(number);
            Assert.Equal(ChangeCode.Done, (await cluster.Nodes[0].Changes.AddShardAsync(shard, address: null)).Code);
            await BackUpAsync(cluster, acknowledged);
            await UntilAsync(() => cluster.Nodes[0].Gateway.View.Shards.Any(s => s.Shard == shard && s.Ranges.Count > 0));
            await BackUpAsync(cluster, acknowledged);
            await UntilAsync(async () => (await cluster.Nodes[0].Changes.RemoveShardAsync(shard, TimeSpan.FromSeconds(10))).Code == ChangeCode.Done);
            await BackUpAsync(cluster, acknowledged);
            await UntilAsync(() => cluster.Nodes[0].Gateway.View.Shards.All(s => s.Shard != shard));
        }

        await stop.CancelAsync();
        await writing;
        await BackUpAsync(cluster, acknowledged);
    }

    private static SlotSet Low { get; } = SlotSet.Where(static s => s.Value < 8192);

    private static StatusDocument Cluster(FakeServer server) => new(
        "n1", false, Samples.ClusterId.ToString("x16"), [new NodeDocument("n1", server.Address.ToString(), null, null, true)], [Shard(1, [0, 8191]), Shard(2, [8192, 16383])], 0);

    private static ShardDocument Shard(int number, int[] range) => new(number, "active", "raft", "n1", 1, ["n1"], [], [], range[1] - range[0] + 1, [range], "1");

    private static async Task BackUpAsync(RealCluster cluster, ConcurrentDictionary<string, int> acknowledged)
    {
        var promised = acknowledged.ToArray();
        var file = Path.Combine(Terminal.TempDir(), "b");
        var backup = await Terminal.RunAsync(["backup", file], cluster.Env);
        Assert.True(backup.Exit == 0, backup.Err);
        var (_, records) = await Samples.ReadAsync(file);
        Assert.Equal(300, records.Count);
        foreach (var (key, least) in promised)
        {
            Assert.True(int.Parse(records[key].Value, CultureInfo.InvariantCulture) >= least, $"{key} is {records[key].Value}, and {least} was acknowledged before");
        }
    }

    private static Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = Environment.TickCount64 + 120_000;
        while (!await condition())
        {
            Assert.True(Environment.TickCount64 < deadline, "it did not come to it within two minutes");
            await Task.Delay(Poll, TestContext.Current.CancellationToken);
        }
    }
}
