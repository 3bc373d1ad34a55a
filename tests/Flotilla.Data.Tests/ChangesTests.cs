using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests;

/// <summary>What differs between two views of one store, against a comparison of everything.</summary>
public sealed class ChangesTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void The_changes_since_any_snapshot_are_those_that_a_full_comparison_finds(int seed)
    {
        var random = new Random(seed);
        var tree = new BTree(seed % 2 == 0 ? TreeLimits.Default : new TreeLimits(256, 8, 64));
        var snapshots = new List<IRecordView>();
        for (var step = 0UL; step < 6000; step++)
        {
            // Phases that grow, shrink and churn, so that nodes split, merge and are evened out between two snapshots.
            var key = BitConverter.GetBytes(random.Next(step % 2000 < 1000 ? 4000 : 700));
            if (random.Next(100) < (step % 1500 < 900 ? 20 : 80))
            {
                tree.Remove(key);
            }
            else
            {
                tree.Put(key, new byte[random.Next(random.Next(8) == 0 ? 1500 : 40)], new Version(1, 0, step, 0), random.Next(3));
            }

            if (random.Next(200) == 0)
            {
                snapshots.Add(tree.Snapshot());
            }
        }

        var from = BitConverter.GetBytes(300);
        var last = tree.Snapshot();
        foreach (var older in snapshots)
        {
            Assert.Equal(Compared(older, last, []), Changed(older, last, []));
            Assert.Equal(Compared(older, last, from), Changed(older, last, from));
            Assert.Equal(Compared(older, tree, []), Changed(older, tree, []));
            Assert.Equal(Compared(older, snapshots[^1], []), Changed(older, snapshots[^1], []));
        }

        Assert.Empty(Changed(last, tree, []));
        Assert.Equal(last.Count, Changed(new BTree().Snapshot(), last, []).Count);
    }

    [Fact]
    public void A_visit_of_changes_ends_when_the_visitor_has_enough()
    {
        var tree = BTreeTests.Numbered(100);
        var seen = new Gatherer { Limit = 3 };
        tree.VisitChanges(new BTree().Snapshot(), [], ref seen);
        Assert.Equal(3, seen.Changes.Count);
    }

    [Fact]
    public void What_two_trees_share_is_stepped_over()
    {
        var tree = BTreeTests.Numbered(50_000);
        var older = tree.Snapshot();
        tree.Put("key-000700"u8, "x"u8, new Version(9, 0, 0, 0), 0);
        tree.Remove("key-030000"u8);
        var before = new TreeCursor(TreeSnapshot.RootOf(older), []);
        var after = new TreeCursor(TreeSnapshot.RootOf(tree.Snapshot()), []);
        var records = 0;
        while (!before.IsAtEnd)
        {
            if (TreeCursor.SkipShared(before, after))
            {
                continue;
            }

            records++;
            var order = after.IsAtEnd ? -1 : before.Record.Key.Span.SequenceCompareTo(after.Record.Key.Span);
            before.Next();
            if (order == 0)
            {
                after.Next();
            }
        }

        Assert.InRange(records, 2, 500); // Two leaves of 50,000 records.
    }

    private static List<string> Changed(IRecordView older, IRecordView newer, byte[] from)
    {
        var gatherer = new Gatherer();
        newer.VisitChanges(older, from, ref gatherer);
        return gatherer.Changes;
    }

    private static List<string> Compared(IRecordView older, IRecordView newer, byte[] from)
    {
        var before = All(older, from);
        var after = All(newer, from);
        return [.. before.Keys.Union(after.Keys, StringComparer.Ordinal).Order(StringComparer.Ordinal)
            .Select(k => (Key: k, Old: before.GetValueOrDefault(k, "-"), Now: after.GetValueOrDefault(k, "-")))
            .Where(c => c.Old != c.Now)
            .Select(c => $"{c.Key} {c.Old} {c.Now}")];
    }

    private static Dictionary<string, string> All(IRecordView view, byte[] from)
    {
        var visitor = new Lister();
        view.Visit(from, ref visitor);
        return visitor.Records;
    }

    private static string Text(ReadOnlySpan<byte> value, Version version, long expiresAtMs) => $"{version}+{expiresAtMs}:{value.Length}";

    private struct Lister() : IRecordVisitor
    {
        public Dictionary<string, string> Records { get; } = new(StringComparer.Ordinal);

        public readonly bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            Records.Add(Convert.ToHexString(key), Text(value, version, expiresAtMs));
            return true;
        }
    }

    private struct Gatherer() : IChangeVisitor
    {
        public int Limit { get; set; } = int.MaxValue;

        public List<string> Changes { get; } = [];

        public readonly bool Visit(in Record? older, in Record? newer)
        {
            var key = Convert.ToHexString((older ?? newer)!.Value.Key.Span);
            Changes.Add($"{key} {Text(in older)} {Text(in newer)}");
            return Changes.Count < Limit;
        }

        private static string Text(in Record? record) =>
            record is { } r ? ChangesTests.Text(r.Value.Span, r.Version, r.ExpiresAtMs) : "-";
    }
}
