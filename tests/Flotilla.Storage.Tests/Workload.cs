using Flotilla.Raft;

namespace Flotilla.Storage.Tests;

/// <summary>Persist effects as Raft makes them, at random.</summary>
internal static class Workload
{
    public static readonly GroupId[] Groups = [new(1), new(0xfeed_0000_0000_0002), new(3)];

    public static Entry Entry(ulong index, ulong term, int bytes, ref SplitMix64 random)
    {
        var payload = new byte[bytes];
        for (var i = 0; i < bytes; i++)
        {
            payload[i] = (byte)random.Next();
        }

        var kind = bytes switch { 0 => EntryKind.NoOp, _ when bytes % 16 == 7 => EntryKind.Configuration, _ => EntryKind.Command };
        return new Entry(new LogIndex(index), new Term(term), kind, payload);
    }

    public static Entry[] Entries(ulong first, ulong term, int count, int bytes)
    {
        var random = new SplitMix64(first ^ term);
        var entries = new Entry[count];
        for (var i = 0; i < count; i++)
        {
            entries[i] = Entry(first + (ulong)i, term, bytes, ref random);
        }

        return entries;
    }

    public static Effect.Persist Persist(params Entry[] entries) => new(default, null, null, entries, true);

    public static Effect.Persist Vote(ulong term, string? votedFor, ulong commit = 0) =>
        new(default, new HardState(new Term(term), new NodeId(votedFor!), new LogIndex(commit)), null, [], true);

    public static Effect.Persist CommitHint(ulong term, ulong commit) =>
        new(default, new HardState(new Term(term), default, new LogIndex(commit)), null, [], false);

    /// <summary>One random change, to the log and to the model alike.</summary>
    public static void Change(Wal wal, WalModel model, ref SplitMix64 random)
    {
        var group = Groups[random.Below(Groups.Length)];
        var state = model[group];
        if (random.Chance(0.08) && state.Last > LogIndex.Zero)
        {
            // Mostly something that is there, now and then a snapshot from beyond the log's end.
            var through = random.Chance(0.1)
                ? state.Last + (ulong)random.Below(20)
                : state.Released + (ulong)random.Below((long)(state.Last - state.Released) + 1);
            wal.Release(group, through);
            model.Release(group, through);
            return;
        }

        if (random.Chance(0.01))
        {
            wal.Forget(group);
            model.Forget(group);
            return;
        }

        var persist = Next(state, ref random);
        wal.Append(group, persist);
        model.Apply(group, persist);
    }

    private static Effect.Persist Next(GroupModel state, ref SplitMix64 random)
    {
        var term = state.HardState.Term;
        HardState? hard = null;
        IdentityState? identity = null;
        var entries = new List<Entry>();
        if (random.Chance(0.15))
        {
            term = new Term(term.Value + 1 + (ulong)random.Below(3));
            hard = new HardState(term, random.Chance(0.7) ? new NodeId($"n{random.Below(5)}") : default, state.HardState.Commit);
        }

        if (random.Chance(0.05))
        {
            identity = new IdentityState(random.Chance(0.5), [.. Enumerable.Range(1, (int)random.Below(4)).Select(i => new KnownPeer(new NodeId($"peer{i}"), new Incarnation((ulong)i * 77), i % 2 == 0))]);
        }

        LogBase? resetTo = null;
        if (random.Chance(0.03))
        {
            // A snapshot was installed: from beyond the end, or over a suffix that conflicts.
            var back = Math.Min(state.Last - state.Released, (ulong)random.Below(5));
            var index = random.Chance(0.5) ? state.Last + (ulong)random.Below(20) : new LogIndex(state.Last.Value - back);
            resetTo = new LogBase(index, index == LogIndex.Zero ? Term.Zero : new Term(Math.Max(1, term.Value)));
            if (random.Chance(0.5))
            {
                return new Effect.Persist(default, hard, identity, entries, true, resetTo);
            }
        }

        if (random.Chance(0.8))
        {
            var first = (resetTo?.Index ?? state.Last).Next.Value;
            if (resetTo is null && random.Chance(0.2))
            {
                // A new leader's entries replace a suffix.
                first = Math.Max(state.Released.Value + 1, first - (ulong)random.Below((long)Math.Min(first, 12)));
                term = new Term(term.Value + 1);
                hard = new HardState(term, default, state.HardState.Commit);
            }

            var count = 1 + (int)random.Below(random.Chance(0.1) ? 40 : 4);
            for (var i = 0; i < count; i++)
            {
                var bytes = random.Below(100) switch { 0 => 6000, < 15 => 0, < 90 => (int)random.Below(120), _ => (int)random.Below(900) };
                entries.Add(Entry(first + (ulong)i, Math.Max(1, term.Value), bytes, ref random));
            }

            if (hard is null && term.Value == 0)
            {
                hard = new HardState(new Term(1), default, default);
            }
        }
        else if (hard is null)
        {
            hard = state.HardState with { Commit = LogIndex.Max(state.HardState.Commit, state.Last) };
            return new Effect.Persist(default, hard, identity, entries, identity is not null || resetTo is not null, resetTo);
        }

        return new Effect.Persist(default, hard, identity, entries, true, resetTo);
    }
}
