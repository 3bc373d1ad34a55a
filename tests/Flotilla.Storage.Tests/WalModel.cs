using System.Globalization;
using System.Text;
using Flotilla.Raft;

namespace Flotilla.Storage.Tests;

/// <summary>What a log ought to hold, in the simplest form there is, to compare a real one with.</summary>
internal sealed class WalModel
{
    private readonly SortedDictionary<ulong, GroupModel> _groups = [];

    public IEnumerable<GroupId> Groups => _groups.Keys.Select(static g => new GroupId(g));

    public GroupModel this[GroupId group]
    {
        get
        {
            if (!_groups.TryGetValue(group.Value, out var model))
            {
                _groups.Add(group.Value, model = new GroupModel());
            }

            return model;
        }
    }

    public WalModel Copy()
    {
        var copy = new WalModel();
        foreach (var (group, model) in _groups)
        {
            copy._groups.Add(group, model.Copy());
        }

        return copy;
    }

    public void Apply(GroupId group, Effect.Persist persist)
    {
        var model = this[group];
        if (persist.ResetTo is { } to)
        {
            model.Entries.Clear();
            (model.Last, model.Released, model.BaseTerm) = (to.Index, to.Index, to.Term);
        }

        if (persist.Entries.Count > 0)
        {
            var first = persist.Entries[0].Index;
            foreach (var gone in model.Entries.Keys.Where(i => i >= first.Value).ToArray())
            {
                _ = model.Entries.Remove(gone);
            }

            foreach (var entry in persist.Entries)
            {
                model.Entries.Add(entry.Index.Value, entry);
            }

            model.Last = persist.Entries[^1].Index;
        }

        model.HardState = persist.HardState ?? model.HardState;
        model.Identity = persist.Identity ?? model.Identity;
    }

    public void Release(GroupId group, LogIndex through)
    {
        var model = this[group];
        if (through <= model.Released)
        {
            return;
        }

        model.Released = through;
        model.BaseTerm = model.Entries.TryGetValue(through.Value, out var released) ? released.Term : Term.Zero;
        model.Last = LogIndex.Max(model.Last, through);
        foreach (var gone in model.Entries.Keys.Where(i => i <= through.Value).ToArray())
        {
            _ = model.Entries.Remove(gone);
        }
    }

    public void Forget(GroupId group) => _groups.Remove(group.Value);

    /// <summary>All that the model holds, as text.</summary>
    public string Describe(IEnumerable<GroupId> groups)
    {
        var text = new StringBuilder();
        foreach (var group in groups.OrderBy(static g => g.Value))
        {
            var model = this[group];
            Describe(text, group, model.HardState, model.Identity, new LogBase(model.Released, model.BaseTerm), model.Last, model.Entries.Values);
        }

        return text.ToString();
    }

    /// <summary>All that a log holds, as text; and checks that its own answers agree with each other.</summary>
    public static string Describe(Wal wal, IEnumerable<GroupId> groups)
    {
        var text = new StringBuilder();
        foreach (var group in groups.OrderBy(static g => g.Value))
        {
            var recovered = wal.Recovered(group);
            var entries = ReadAll(wal, group);
            foreach (var entry in entries)
            {
                Assert.Equal(entry.Term, recovered.TermStarts.Last(t => t.First <= entry.Index).Term);
            }

            Assert.Equal(recovered.TermStarts.OrderBy(static t => t.First).ThenBy(static t => t.Term), recovered.TermStarts);
            if (recovered.Base.Term != Term.Zero)
            {
                Assert.True(recovered.TermStarts[0].First <= recovered.Base.Index, "the first term holds the base");
                Assert.Equal(recovered.Base.Term, recovered.TermStarts[0].Term);
            }

            Assert.Equal(0, wal.LogBytes(group, recovered.LastIndex));
            Assert.Equal(entries.Count > 0, wal.LogBytes(group) > 0);
            Describe(text, group, recovered.HardState, recovered.Identity, recovered.Base, recovered.LastIndex, entries);
        }

        return text.ToString();
    }

    /// <summary>Checks what only a log that was just opened knows of its groups.</summary>
    public void CheckRecovered(Wal wal)
    {
        foreach (var (group, model) in _groups)
        {
            var recovered = wal.Recovered(new GroupId(group));
            Assert.Equal(model.Entries.Values.Where(e => e.Index > model.HardState.Commit).Sum(static e => (long)e.Cost), recovered.BytesAboveCommit);
            Assert.Equal(Configurations(model.Entries.Values), Configurations(recovered.Configurations));
        }
    }

    private static string Configurations(IEnumerable<Entry> entries) => string.Join(
        '\n', entries.Where(static e => e.Kind == EntryKind.Configuration).Select(static e => $"{e.Index} {e.Term} {Convert.ToHexString(e.Payload.Span)}"));

    public static List<Entry> ReadAll(Wal wal, GroupId group)
    {
        var last = wal.Recovered(group).LastIndex;
        var first = wal.FirstIndex(group);
        var entries = new List<Entry>();
        if (first <= last)
        {
            Assert.True(wal.TryRead(group, first, last, int.MaxValue, entries));
            Assert.Equal(last, entries[^1].Index);
        }

        Assert.False(wal.TryRead(group, last.Next, last.Next, int.MaxValue, []));
        return entries;
    }

    private static void Describe(StringBuilder text, GroupId group, in HardState hard, IdentityState identity, LogBase begin, LogIndex last, IEnumerable<Entry> entries)
    {
        _ = text.Append(CultureInfo.InvariantCulture, $"{group} {hard} admitted={identity.Admitted} [{string.Join(' ', identity.Known)}] begin={begin} last={last}\n");
        var expected = LogIndex.Zero;
        foreach (var entry in entries)
        {
            Assert.True(expected == LogIndex.Zero || entry.Index == expected, "indexes are consecutive");
            expected = entry.Index.Next;
            _ = text.Append(CultureInfo.InvariantCulture, $"  {entry.Index} {entry.Term} {entry.Kind} {Convert.ToHexString(entry.Payload.Span)}\n");
        }
    }
}

/// <summary>One group of a <see cref="WalModel"/>.</summary>
internal sealed class GroupModel
{
    public SortedDictionary<ulong, Entry> Entries { get; private init; } = [];

    public HardState HardState { get; set; }

    public IdentityState Identity { get; set; } = IdentityState.Empty;

    public LogIndex Last { get; set; }

    public LogIndex Released { get; set; }

    /// <summary>The term at <see cref="Released"/>; 0 if the log can't know it.</summary>
    public Term BaseTerm { get; set; }

    public GroupModel Copy() => new()
    {
        Entries = new SortedDictionary<ulong, Entry>(Entries),
        HardState = HardState,
        Identity = Identity,
        Last = Last,
        Released = Released,
        BaseTerm = BaseTerm,
    };
}
