using Flotilla.Data;
using Flotilla.Registers.Epochs;
using Flotilla.Topology;

namespace Flotilla.Registers.Tests.Harness;

/// <summary>What the log of a shard may hold in these tests: steps of epochs, and writes of the log modes.</summary>
internal readonly record struct LogEntry(EpochStep? Step, string? Key = null, string? Value = null);

/// <summary>The state that a log decides at one replica, and what it tells the register replica there. The log's time stands at 0.</summary>
internal sealed class ShardState : IMergeTarget
{
    private static readonly SlotEpochs AllSlots = SlotEpochs.Of(SlotSet.Of([.. Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i))]), SlotEpoch.First);

    private readonly BTree _records = new();
    private readonly string _self;

    public ShardState(Voter? self)
    {
        _self = self?.ToString() ?? "";
        Log = new EpochLog(this, EpochState.None);
    }

    public EpochLog Log { get; }

    public EpochState Epochs => Log.State;

    public int Applied { get; private set; }

    public static string[] Names(int voters) => [.. Enumerable.Range(0, voters).Select(i => new Voter((ushort)i).ToString())];

    /// <summary>Applies the next entry. Returns what the register replica is to be told, if anything; after an end call <see cref="EpochLog.Forget"/>.</summary>
    public RegisterInput? Apply(LogEntry entry)
    {
        var index = (ulong)++Applied;
        var before = Epochs.Epoch;
        if (entry.Step is { } step)
        {
            return Log.Apply(step, index, mayOpen: true) switch
            {
                EpochChange.Opened => new RegisterInput.Open(Terms()),
                EpochChange.Sealed => new RegisterInput.Seal(before, index),
                EpochChange.Ended => new RegisterInput.End(before, index, Log),
                _ => null,
            };
        }

        if (!Epochs.IsRunning)
        {
            _records.Put(Text.B(entry.Key!), Text.B(entry.Value!), new Data.Version(1, Epochs.ModeEpoch, index, 0), 0);
        }

        return null;
    }

    public EpochTerms Terms() => Log.TermsFor(_self, AllSlots, _records.Snapshot(), 0);

    public Data.Version VersionOf(ReadOnlySpan<byte> key) => _records.TryGet(key, out var record) ? record.Version : default;

    public void Put(in Item item) => _records.Put(item.Key.Span, item.Value.Span, item.Stamp.Version, item.ExpiresAtMs);

    public void Remove(ReadOnlyMemory<byte> key) => _records.Remove(key.Span);
}
