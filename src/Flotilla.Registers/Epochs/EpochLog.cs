using Flotilla.Data;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Registers.Epochs;

/// <summary>The records that a log decides, as far as a merge changes them.</summary>
public interface IMergeTarget
{
    /// <summary>The version of a record; none if there is none.</summary>
    Version VersionOf(ReadOnlySpan<byte> key);

    /// <summary>Writes a record, with the version and the expiry that the item has.</summary>
    void Put(in Item item);

    /// <summary>Removes a record, if there is one.</summary>
    void Remove(ReadOnlyMemory<byte> key);
}

/// <summary>What a log has decided about register epochs, between two of its entries. A part of the shard's state.</summary>
/// <param name="ModeEpoch">The mode epoch of versions that are written now: raised by every Open and by every end.</param>
/// <param name="Epoch">The epoch that has begun and not ended; none if there is none.</param>
/// <param name="Origin">The Open that it began with: another than <paramref name="Epoch"/> after a Reopen.</param>
/// <param name="Kind">How its writes are acknowledged.</param>
/// <param name="Voters">Its voters, in order.</param>
/// <param name="IsSealed">It is sealed, and to be merged.</param>
public sealed record EpochState(uint ModeEpoch, RegisterEpoch Epoch, RegisterEpoch Origin, RegisterKind Kind, IReadOnlyList<string> Voters, bool IsSealed)
{
    /// <summary>Before the first epoch.</summary>
    public static EpochState None { get; } = new(0, default, default, default, [], IsSealed: false);

    /// <summary>An epoch has begun and not ended: commands of clients, ownership and modes have no effect.</summary>
    public bool IsRunning => Epoch != RegisterEpoch.None;
}

/// <summary>
/// What each <see cref="EpochStep"/> does to a shard's state when it is applied: the log's side of the register modes. Deterministic, equal at every
/// replica that has applied the same entries. Not thread-safe.
/// </summary>
/// <remarks>
/// <para>The rules, from DESIGN section 5:</para>
/// <list type="number">
/// <item><b>While an epoch runs nothing else changes the records.</b> Whoever composes this refuses commands, moves and modes meanwhile
/// (<see cref="EpochState.IsRunning"/>), and lets nothing expire. So the state beneath the overlays is the same at all replicas, whatever they have applied of the epoch.</item>
/// <item><b>Open has no effect while another epoch runs, nor while it may not</b>: during a joint configuration, an unfinished move or a pending purge,
/// which all need entries. Its voters stay the epoch's: members change only between epochs.</item>
/// <item><b>A merge entry has an effect only on a sealed epoch, and for each item only if it is newer than what is there</b>, tombstones of this merge
/// included. So merges of several leaders may mix in any order: of each key the newest stays, and a tombstone is undone by nothing older. Tombstones
/// are kept until the last merge entry and settle what the seal caught; afterwards nothing older can come.</item>
/// <item><b>Open and the end each raise the mode epoch</b>, so that versions of the epoch are above all of the log before it, and below all after it. A
/// Reopen does not: its overlays go on with the versions that they have.</item>
/// </list>
/// <para>While tombstones are kept no image may be taken (<see cref="IsMerging"/>): it would lack them, and a replica made from it could undo a delete.</para>
/// </remarks>
public sealed class EpochLog(IMergeTarget records, EpochState state) : IMergedState
{
    private readonly SortedDictionary<ReadOnlyMemory<byte>, Stamp> _tombstones = new(Overlays.KeyOrder.Instance);

    /// <summary>What has been decided.</summary>
    public EpochState State { get; private set; } = state;

    /// <summary>Something was merged into the epoch that runs: no image may be taken before it has ended.</summary>
    public bool IsMerging { get; private set; }

    /// <summary>Applies a step.</summary>
    /// <param name="step">The step.</param>
    /// <param name="index">The entry that holds it.</param>
    /// <param name="mayOpen">False during a joint configuration, an unfinished move or a pending purge, and if the voters are not those in force.</param>
    public EpochChange Apply(EpochStep step, ulong index, bool mayOpen)
    {
        switch (step)
        {
            case EpochStep.Open open when !State.IsRunning && mayOpen && AreVoters(open.Voters):
                State = new EpochState(State.ModeEpoch + 1, new RegisterEpoch(index), new RegisterEpoch(index), open.Kind, open.Voters, IsSealed: false);
                return EpochChange.Opened;
            case EpochStep.Seal seal when seal.Epoch == State.Epoch && State is { IsRunning: true, IsSealed: false }:
                State = State with { IsSealed = true };
                return EpochChange.Sealed;
            case EpochStep.Reopen reopen when reopen.Epoch == State.Epoch && State is { IsRunning: true, IsSealed: true }:
                State = State with { Epoch = new RegisterEpoch(index), IsSealed = false };
                return EpochChange.Opened;
            case EpochStep.Merge merge when merge.Epoch == State.Epoch && State is { IsRunning: true, IsSealed: true }:
                foreach (var item in merge.Items)
                {
                    Merge(in item);
                }

                if (!merge.IsLast)
                {
                    return EpochChange.Merged;
                }

                State = EpochState.None with { ModeEpoch = State.ModeEpoch + 1 };
                return EpochChange.Ended;
            default:
                return EpochChange.None;
        }
    }

    /// <summary>After <see cref="EpochChange.Ended"/>, once whoever waits was told: drops the tombstones.</summary>
    public void Forget()
    {
        _tombstones.Clear();
        IsMerging = false;
    }

    /// <inheritdoc/>
    public Version VersionOf(ReadOnlySpan<byte> key)
    {
        var version = records.VersionOf(key);
        return _tombstones.Count > 0 && _tombstones.TryGetValue(key.ToArray(), out var gone) && gone.Version.CompareTo(version) > 0 ? gone.Version : version;
    }

    /// <summary>What a replica is to be told of the epoch that runs.</summary>
    /// <param name="self">Its name.</param>
    /// <param name="slots">The slots that the shard owns.</param>
    /// <param name="view">The records as they are now, in a view that nothing changes.</param>
    /// <param name="timeMs">The log time.</param>
    public EpochTerms TermsFor(string self, SlotEpochs slots, IRecordView view, long timeMs)
    {
        Invariant.Require(State.IsRunning, "only an epoch that runs has terms");
        var place = State.Voters.ToList().IndexOf(self);
        return new EpochTerms(State.Epoch, State.Origin, State.Kind, State.ModeEpoch, place < 0 ? null : new Voter((ushort)place), State.Voters.Count, slots, view, timeMs);
    }

    private static bool AreVoters(IReadOnlyList<string> voters)
    {
        for (var i = 1; i < voters.Count; i++)
        {
            if (string.CompareOrdinal(voters[i - 1], voters[i]) >= 0)
            {
                return false;
            }
        }

        return voters.Count is > 0 and <= 64;
    }

    private void Merge(in Item item)
    {
        IsMerging = true;
        var version = records.VersionOf(item.Key.Span);
        var there = _tombstones.TryGetValue(item.Key, out var gone) && gone.Version.CompareTo(version) >= 0 ? gone : new Stamp(version, Expired: false);
        if (item.Stamp <= there)
        {
            return;
        }

        if (item.IsGone)
        {
            records.Remove(item.Key);
            _tombstones[item.Key] = item.Stamp;
        }
        else
        {
            records.Put(in item);
        }
    }
}
