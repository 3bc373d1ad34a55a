using Flotilla.Data;
using Flotilla.Topology;

namespace Flotilla.Registers.Tests.Harness;

/// <summary>What the log of a shard may hold, as far as registers are concerned.</summary>
internal abstract record LogEntry
{
    public sealed record Put(byte[] Key, byte[] Value) : LogEntry;

    public sealed record Open(RegisterKind Kind) : LogEntry;

    public sealed record Seal(RegisterEpoch Epoch) : LogEntry;

    public sealed record Merge(RegisterEpoch Epoch, IReadOnlyList<Item> Items, bool IsLast) : LogEntry;

    public sealed record Reopen(RegisterEpoch Epoch) : LogEntry;
}

/// <summary>The state that a log decides at one replica, and what it tells the register replica there; a model of the rules of DESIGN section 5.</summary>
internal sealed class ShardState(int voters) : IMergedState
{
    private static readonly SlotEpochs AllSlots = SlotEpochs.Of(SlotSet.Of([.. Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i))]), SlotEpoch.First);

    private readonly BTree _records = new();
    private readonly Dictionary<string, Stamp> _tombstones = [];

    public int Applied { get; private set; }

    public uint ModeEpoch { get; private set; }

    public RegisterEpoch Epoch { get; private set; }

    public RegisterEpoch Origin { get; private set; }

    public RegisterKind Kind { get; private set; }

    public bool IsSealed { get; private set; }

    public bool IsOpen => Epoch != RegisterEpoch.None;

    /// <summary>Applies the next entry. Returns what the register replica is to be told, if anything. Time is the log's: it stands at 0 here.</summary>
    public RegisterInput? Apply(LogEntry entry, Voter? self)
    {
        var index = (ulong)++Applied;
        switch (entry)
        {
            case LogEntry.Put put when !IsOpen:
                _records.Put(put.Key, put.Value, new Data.Version(1, ModeEpoch, index, 0), 0);
                return null;
            case LogEntry.Open open when !IsOpen:
                ModeEpoch++;
                (Epoch, Origin, Kind) = (new RegisterEpoch(index), new RegisterEpoch(index), open.Kind);
                return new RegisterInput.Open(Terms(self));
            case LogEntry.Seal seal when IsOpen && seal.Epoch == Epoch && !IsSealed:
                IsSealed = true;
                return new RegisterInput.Seal(Epoch, index);
            case LogEntry.Reopen reopen when IsSealed && reopen.Epoch == Epoch:
                (Epoch, IsSealed) = (new RegisterEpoch(index), false);
                return new RegisterInput.Open(Terms(self));
            case LogEntry.Merge merge when IsSealed && merge.Epoch == Epoch:
                foreach (var item in merge.Items)
                {
                    Merge(item);
                }

                return merge.IsLast ? new RegisterInput.End(Epoch, index, this) : null;
            default:
                return null; // No effect.
        }
    }

    /// <summary>After the replica was told of the end.</summary>
    public void Ended()
    {
        ModeEpoch++;
        _tombstones.Clear();
        (Epoch, Origin, IsSealed) = (default, default, false);
    }

    public EpochTerms Terms(Voter? self) => new(Epoch, Origin, Kind, ModeEpoch, self, voters, AllSlots, _records.Snapshot(), 0);

    public Data.Version VersionOf(ReadOnlySpan<byte> key) => StampOf(key).Version;

    public string? ValueOf(string key) => _records.TryGet(Text.B(key), out var record) ? Text.Of(record.Value) : null;

    private Stamp StampOf(ReadOnlySpan<byte> key)
    {
        var record = _records.TryGet(key, out var there) ? new Stamp(there.Version, false) : Stamp.None;
        return _tombstones.TryGetValue(Text.Of(key.ToArray()), out var gone) && gone > record ? gone : record;
    }

    private void Merge(Item item)
    {
        if (item.Stamp <= StampOf(item.Key.Span))
        {
            return;
        }

        if (item.IsGone)
        {
            _ = _records.Remove(item.Key.Span);
            _tombstones[Text.Of(item.Key)] = item.Stamp;
        }
        else
        {
            _records.Put(item.Key.Span, item.Value.Span, item.Stamp.Version, item.ExpiresAtMs);
        }
    }
}
