using System.Globalization;
using System.Text;

namespace Flotilla.Topology.Tests;

/// <summary>The figures of docs/topology.md about the ring, computed anew.</summary>
public sealed class RingFigureTests(ITestOutputHelper output)
{
    [Fact]
    public void No_shard_gets_more_than_half_as_much_again_as_its_share_from_3_to_100_shards()
    {
        for (var shards = 3; shards <= 100; shards++)
        {
            var (least, most, _) = Spread(shards, null);
            Assert.InRange(most, 1.0, 1.5);
            Assert.InRange(least, 0.5, 1.0);
        }
    }

    [Fact]
    public void The_table_of_spreads_in_the_docs_is_what_the_ring_gives()
    {
        var table = SpreadTable();
        output.WriteLine(table);
        Assert.Contains(table, Page.Text, StringComparison.Ordinal);
    }

    private static string SpreadTable()
    {
        var text = new StringBuilder("| virtual nodes | 3 to 10 shards | 11 to 32 | 33 to 100 | worst of all |\n|---|---|---|---|---|\n");
        foreach (var virtualNodes in new int?[] { 32, 64, 128, 256, 384, 512, 560, null })
        {
            var spreads = Enumerable.Range(3, 98).Select(n => (Shards: n, Spread: Spread(n, virtualNodes))).ToArray();
            string Cell(int from, int to)
            {
                var part = spreads.Where(s => s.Shards >= from && s.Shards <= to).Select(s => s.Spread).ToArray();
                return Format(part.Average(s => s.Least), part.Average(s => s.Most), part.Average(s => s.Deviation));
            }

            var worst = Format(spreads.Min(s => s.Spread.Least), spreads.Max(s => s.Spread.Most), spreads.Max(s => s.Spread.Deviation));
            text.Append(CultureInfo.InvariantCulture, $"| {(virtualNodes is { } uniform ? uniform : "ours")} | {Cell(3, 10)} | {Cell(11, 32)} | {Cell(33, 100)} | {worst} |\n");
        }

        return text.ToString();
    }

    private static string Format(double least, double most, double deviation) =>
        string.Create(CultureInfo.InvariantCulture, $"{least:0.00} - {most:0.00}, σ {deviation:0.00}");

    private static (double Least, double Most, double Deviation) Spread(int shards, int? virtualNodes)
    {
        var ring = new Ring([.. Enumerable.Range(1, shards).Select(s => new RingMember(new ShardId(s)))], virtualNodes);
        var counts = new double[shards];
        for (var i = 0; i < Slot.Count; i++)
        {
            counts[ring.Owner(new Slot((ushort)i)).Value - 1] += (double)shards / Slot.Count;
        }

        return (counts.Min(), counts.Max(), Math.Sqrt(counts.Average(c => (c - 1) * (c - 1))));
    }

    [Fact]
    public void The_table_of_moved_slots_in_the_docs_is_what_the_ring_gives()
    {
        var text = new StringBuilder("| shards before | uniform 128: worst | uniform 560: worst | ours: worst | ours: any numbers, half below | 9 of 10 below | worst of 200 |\n|---|---|---|---|---|---|---|\n");
        var growth = new int?[] { 128, 560, null }.Select(Growth).ToArray();
        foreach (var (from, to) in new[] { (1, 2), (3, 10), (11, 32), (33, 99) })
        {
            var any = AnyNumbers(from, to);
            text.Append(CultureInfo.InvariantCulture, $"| {from} to {to} |");
            foreach (var ratios in growth)
            {
                text.Append(CultureInfo.InvariantCulture, $" {ratios[from..(to + 1)].Max():0.00} |");
            }

            text.Append(CultureInfo.InvariantCulture, $" {any[100]:0.00} | {any[180]:0.00} | {any[^1]:0.00} |\n");
        }

        output.WriteLine(text.ToString());
        Assert.Contains(text.ToString(), Page.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void The_table_of_virtual_nodes_is_the_most_that_keeps_a_new_shard_to_its_share()
    {
        var nearest = new ulong[Slot.Count];
        Array.Fill(nearest, ulong.MaxValue);
        for (var shard = 1; shard <= 100; shard++)
        {
            // One virtual node after the other, with a note of the last number at which the share was not too large.
            var most = 0;
            Place(shard, VirtualNodeCounts.Normal, nearest, (count, moved) => most = shard == 1 || moved <= 1.12 * Slot.Count / shard ? count : most);
            Assert.Equal(most, VirtualNodeCounts.Of(new ShardId(shard)));
            var mine = Place(shard, most, nearest, (_, _) => { });
            for (var at = 0; at < Slot.Count; at++)
            {
                nearest[at] = Math.Min(nearest[at], mine[at]);
            }
        }

        Assert.Equal(VirtualNodeCounts.Normal, VirtualNodeCounts.Of(new ShardId(101)));
    }

    // The distance of each slot to the nearest of the shard's virtual nodes; tells after each of them how many slots the shard
    // takes from those whose distances are given.
    private static ulong[] Place(int shard, int count, ulong[] others, Action<int, int> placed)
    {
        var mine = new ulong[Slot.Count];
        Array.Fill(mine, ulong.MaxValue);
        var moved = 0;
        for (var i = 0; i < count; i++)
        {
            var point = Ring.PointOf(new ShardId(shard), i);
            for (var at = LastAtOrBefore(point); point - SlotPoints[at] < mine[at]; at = at == 0 ? Slot.Count - 1 : at - 1)
            {
                ulong distance = point - SlotPoints[at];
                moved += distance < others[at] && mine[at] >= others[at] ? 1 : 0;
                mine[at] = distance;
            }

            placed(i + 1, moved);
        }

        return mine;
    }

    private static readonly uint[] SlotPoints = [.. Enumerable.Range(0, Slot.Count).Select(i => Ring.PointOf(new Slot((ushort)i))).Order()];

    private static int LastAtOrBefore(uint point)
    {
        var at = Array.BinarySearch(SlotPoints, point);
        at = at >= 0 ? at : ~at - 1;
        return at < 0 ? Slot.Count - 1 : at;
    }

    // What a shard that joins takes, as a multiple of its share, by how many were there before: shards 1, 2, 3 ...
    private static double[] Growth(int? virtualNodes) =>
        [0, .. Enumerable.Range(2, 99).Select(n => Share(new Ring([.. Enumerable.Range(1, n).Select(s => new RingMember(new ShardId(s)))], virtualNodes), n))];

    // The same for 200 sets of shards with any numbers from 1 to 1000.
    private static double[] AnyNumbers(int from, int to)
    {
        var random = new SplitMix(5);
        var ratios = new double[200];
        for (var round = 0; round < ratios.Length; round++)
        {
            var joining = 1 + random.Below(1000);
            var shards = new HashSet<int> { joining };
            for (var count = from + 1 + random.Below(to - from + 1); shards.Count < count;)
            {
                shards.Add(1 + random.Below(1000));
            }

            ratios[round] = Share(new Ring([.. shards.Select(s => new RingMember(new ShardId(s)))]), joining);
        }

        return [.. ratios.Order()];
    }

    private static double Share(Ring ring, int shard) => ring.SlotsOf(new ShardId(shard)).Count * (double)ring.Members.Count / Slot.Count;
}
