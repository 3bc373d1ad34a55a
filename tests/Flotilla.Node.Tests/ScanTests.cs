using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Listings that are read page by page while slots move.</summary>
public sealed class ScanTests
{
    private const int Keys = 300;

    // Listings and writes go on all the time, yet leave the nodes room to move slots, which share this process.
    private static readonly TimeSpan Breath = TimeSpan.FromMilliseconds(5);

    [Fact, Trait("Hazard", "44")]
    public async Task Each_key_that_is_there_all_the_time_is_listed_once_while_slots_come_and_go()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        for (var i = 0; i < Keys; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync(Key(i), "v");
        }

        using var stop = new CancellationTokenSource();
        var wrong = new ConcurrentQueue<string>();
        var listings = 0;
        var readers = Enumerable.Range(0, 2).Select(reader => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested && wrong.IsEmpty)
            {
                await ListAsync(cluster[reader].Gateway, reader, wrong);
                Interlocked.Increment(ref listings);
            }
        }, TestContext.Current.CancellationToken)).ToArray();
        var writer = Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                // Beside the keys that stay, so that pages end elsewhere each time.
                var key = $"k-{i % Keys:D4}-more";
                await cluster[i % 3].Gateway.PutSurelyAsync(key, i.ToString(CultureInfo.InvariantCulture));
                await Task.Delay(Breath);
            }
        }, TestContext.Current.CancellationToken);

        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.AddShardAsync(new ShardId(4), address: null)).Code);
        await SettledAsync(cluster, [1, 2, 3, 4]);
        Assert.Equal(ChangeCode.Done, (await cluster[1].Changes.RemoveShardAsync(new ShardId(1), TimeSpan.FromSeconds(60))).Code);
        await SettledAsync(cluster, [2, 3, 4]);
        var before = listings;
        await Eventually.IsTrueAsync(() => listings > before + 3 || !wrong.IsEmpty, "listings go on", seconds: 120);
        await stop.CancelAsync();
        await Task.WhenAll([.. readers, writer]);
        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Keys_of_one_shard_are_read_together_also_while_they_move_and_others_are_named()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        for (var user = 0; user < 40; user++)
        {
            await cluster[user % 3].Gateway.PutSurelyAsync($"{{{user}}}a", "1");
            await cluster[user % 3].Gateway.PutSurelyAsync($"{{{user}}}b", "2");
        }

        using var stop = new CancellationTokenSource();
        var wrong = new ConcurrentQueue<string>();
        var rounds = 0;
        var readers = Enumerable.Range(0, 2).Select(reader => Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested && wrong.IsEmpty; i++)
            {
                var user = i % 40;
                var answer = await cluster[reader].Gateway.GetManyAsync([Bytes($"{{{user}}}b"), Bytes($"{{{user}}}none"), Bytes($"{{{user}}}a")], new CallOptions(true, false, TimeoutMs: 30_000));
                var values = string.Join(' ', answer.Records.Select(static r => Encoding.UTF8.GetString(r.Value.Span)));
                if (answer.Code != ResultCode.Ok || values != "2 1")
                {
                    wrong.Enqueue($"user {user}: {answer.Code} {answer.Detail}: {values}");
                }

                Interlocked.Increment(ref rounds);
            }
        }, TestContext.Current.CancellationToken)).ToArray();

        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.AddShardAsync(new ShardId(4), address: null)).Code);
        await SettledAsync(cluster, [1, 2, 3, 4]);
        var before = rounds;
        await Eventually.IsTrueAsync(() => rounds > before + 100 || !wrong.IsEmpty, "reads go on", seconds: 120);
        await stop.CancelAsync();
        await Task.WhenAll(readers);
        Assert.Empty(wrong);

        var ring = new Ring([.. Enumerable.Range(1, 4).Select(static s => new RingMember(new ShardId(s)))]);
        var apart = Enumerable.Range(0, 40).First(user => ring.Owner(Slot.Of(Bytes($"{{{user}}}a").Span)) != ring.Owner(Slot.Of("{0}a"u8)));
        var refused = await cluster[1].Gateway.GetManyAsync([Bytes("{0}a"), Bytes($"{{{apart}}}a")], CallOptions.Default);
        Assert.Equal(ResultCode.CrossShard, refused.Code);
        Assert.Contains($"\"{{0}}a\" lives in shard {ring.Owner(Slot.Of("{0}a"u8))} and \"{{{apart}}}a\" in shard", refused.Detail, StringComparison.Ordinal);
        Assert.Contains("hash tag", refused.Detail, StringComparison.Ordinal);
        Assert.Equal(ResultCode.BadRequest, (await cluster[1].Gateway.GetManyAsync([], CallOptions.Default)).Code);
    }

    private static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static async Task ListAsync(IGateway gateway, int reader, ConcurrentQueue<string> wrong)
    {
        var next = 0;
        ReadOnlyMemory<byte>? from = default(ReadOnlyMemory<byte>);
        while (from is { } first)
        {
            var page = await gateway.ScanAsync(new ScanRequest(first, Encoding.UTF8.GetBytes("k-"), 37, 1 << 20), new CallOptions(true, false, TimeoutMs: 30_000));
            if (page.Code != ResultCode.Ok)
            {
                wrong.Enqueue($"reader {reader}: {page.Code} {page.Detail}");
                return;
            }

            foreach (var record in page.Records)
            {
                var key = Encoding.UTF8.GetString(record.Key.Span);
                if (!key.EndsWith("-more", StringComparison.Ordinal) && key != Key(next++))
                {
                    wrong.Enqueue($"reader {reader}: {key} came where {Key(next - 1)} should");
                    return;
                }
            }

            from = page.Next;
            await Task.Delay(Breath);
        }

        if (next != Keys)
        {
            wrong.Enqueue($"reader {reader}: the listing ended at {next} of {Keys}");
        }
    }

    private static Task SettledAsync(TestCluster cluster, int[] shards)
    {
        var ring = new Ring([.. shards.Select(static s => new RingMember(new ShardId(s)))]);
        return Eventually.IsTrueAsync(
            () => shards.All(shard => cluster.Running.All(i => cluster[i].Gateway.View.Shards.Where(s => s.Shard.Value == shard).Sum(static s => s.Ranges.Sum(static r => r.Last - r.First + 1)) == ring.SlotsOf(new ShardId(shard)).Count)),
            $"the slots lie where shards {string.Join(", ", shards)} want them", seconds: 180);
    }

    private static string Key(int i) => string.Create(CultureInfo.InvariantCulture, $"k-{i:D4}");
}
