using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>What operators see of slots on their way.</summary>
public sealed class MoveViewTests
{
    /// <summary>For what takes a moment, however busy the machine is: a new leader begins every move's copy again.</summary>
    private const int Patience = 240;

    private static readonly ShardId First = new(1);
    private static readonly ShardId Second = new(2);

    [Fact]
    public async Task Every_node_shows_a_move_at_both_ends_while_it_lasts_and_counts_how_it_ended()
    {
        var ended = new ConcurrentDictionary<string, long>(StringComparer.Ordinal);
        using var listener = Listen(ended);

        // No round of catching up is ever small enough, so moves go on until they are cancelled.
        await using var cluster = await TestCluster.StartAsync(
            3, shards: 1, change: static o => o with { Replica = o.Replica with { Handoffs = o.Replica.Handoffs with { SmallRestBytes = -1 } } });
        for (var i = 0; i < 200; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"key-{i}", new string('v', 100));
        }

        Assert.Empty(MovesOf(cluster, 0, First));
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.AddShardAsync(Second, address: null)).Code);

        // Whoever leads tells of this moment, the others as they have heard. A leader that comes when everything is over there already
        // has nothing to send until something is written again.
        await Eventually.IsTrueAsync(
            async () =>
            {
                if (cluster.Running.All(i => MovesOf(cluster, i, First) is [{ IsIncoming: false, Stage: "catching-up", Records: > 0, Bytes: > 0 }]))
                {
                    return true;
                }

                await Task.WhenAll(Enumerable.Range(0, 200).Select(i => cluster[0].Gateway.PutSurelyAsync($"key-{i}", new string('w', 100))));
                return false;
            },
            "all see that slots leave the first shard", seconds: Patience);
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => MovesOf(cluster, i, Second) is [{ IsIncoming: true, Stage: "staging", Records: > 0 }]), "all see that they come to the second", seconds: Patience);

        // Leaders may change meanwhile, and the next one begins another attempt: so each of these comes true at some moment.
        await Eventually.IsTrueAsync(
            () => MovesOf(cluster, 1, First) is [{ Slots: > 0 and <= 1024, RecordsTotal: > 0 and <= 200, BeganMs: > 0 } leaves] && leaves.Other == Second
                && MovesOf(cluster, 2, Second) is [{ } comes] && comes.Other == First && comes.Slots == leaves.Slots && comes.BeganMs >= leaves.BeganMs, "both ends tell the same", seconds: Patience);
        await Eventually.IsTrueAsync(
            () => cluster.Running.Any(i => cluster[i].Gateway.View.Local.Any(static r => r.Shard == First && r.Moves is [{ Stage: "catching-up" }])), "its leader tells of its own", seconds: Patience);
        Assert.All(cluster.Running, i => Assert.Equal(Slot.Count, cluster[i].Gateway.View.Local.Single(static r => r.Shard == First).Slots));

        await Eventually.IsTrueAsync(async () => (await cluster[0].Changes.RemoveShardAsync(Second, TimeSpan.FromSeconds(20))).Code == ChangeCode.Done, "the second shard leaves", seconds: Patience);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => MovesOf(cluster, i, First).Count == 0), "the moves are over", seconds: Patience);
        Assert.True(ended.GetValueOrDefault("cancelled") >= 1, string.Join(", ", ended));
        Assert.True(ended.GetValueOrDefault("bytes") > 0 && ended.GetValueOrDefault("records") > 0, string.Join(", ", ended));
    }

    [Fact]
    public async Task Moves_that_come_to_an_end_are_counted_with_the_time_that_their_slots_were_frozen()
    {
        var ended = new ConcurrentDictionary<string, long>(StringComparer.Ordinal);
        using var listener = Listen(ended);
        await using var cluster = await TestCluster.StartAsync(1, shards: 1, replicas: 1);
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.AddShardAsync(Second, address: null)).Code);
        var fair = new Ring([new RingMember(First), new RingMember(Second)]).SlotsOf(Second).Count;
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Local.Any(r => r.Shard == Second && r.Slots == fair), "the second shard has its share", seconds: Patience);
        await Eventually.IsTrueAsync(() => MovesOf(cluster, 0, First).Count == 0 && MovesOf(cluster, 0, Second).Count == 0, "all is settled", seconds: Patience);
        Assert.True(ended.GetValueOrDefault("done") >= fair / 1024, string.Join(", ", ended));
        Assert.True(ended.GetValueOrDefault("frozen") >= fair / 1024, string.Join(", ", ended));
    }

    private static IReadOnlyList<MoveView> MovesOf(TestCluster cluster, int node, ShardId shard) =>
        cluster[node].Gateway.View.Shards.FirstOrDefault(s => s.Shard == shard)?.Moves ?? [];

    // Of all clusters of this process: so they are never fewer than this test's own.
    private static MeterListener Listen(ConcurrentDictionary<string, long> ended)
    {
        var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Flotilla.Node" && instrument.Name.StartsWith("flotilla_move", StringComparison.Ordinal))
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, by, tags, _) => ended.AddOrUpdate(
            instrument.Name switch { "flotilla_moved_records_total" => "records", "flotilla_moved_bytes_total" => "bytes", _ => Convert.ToString(tags[0].Value, CultureInfo.InvariantCulture)! },
            by, (_, before) => before + by));
        listener.SetMeasurementEventCallback<double>((_, seconds, _, _) =>
        {
            Assert.True(seconds >= 0);
            ended.AddOrUpdate("frozen", 1, static (_, before) => before + 1);
        });
        listener.Start();
        return listener;
    }
}
