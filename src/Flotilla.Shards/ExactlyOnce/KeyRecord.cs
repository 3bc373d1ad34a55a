using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>What is known of a write that was executed under an idempotency key.</summary>
/// <param name="Name">Of the key and the slot: see <see cref="Digest128.OfKey"/>.</param>
/// <param name="Digest">Of the command: tells another command under the same key from the same one.</param>
/// <param name="Slot">The slot of the command's own key: at a handoff the record goes with it.</param>
/// <param name="Code">How it ended; an outcome of execution.</param>
/// <param name="Version">The version in the answer.</param>
/// <param name="Number">The number in the answer: what an increment came to. Nothing else that is kept has a value.</param>
/// <param name="DueMs">The log time at which the key's life is over; above 0.</param>
internal readonly record struct KeyRecord(UInt128 Name, ulong Digest, Slot Slot, ResultCode Code, Version Version, long? Number, long DueMs)
{
    /// <summary>Whether such a record can have been kept.</summary>
    public bool IsValid => RecordedResult.MayBeKept(Code, 0) && (Number is null || Code == ResultCode.Ok) && DueMs > 0;

    /// <summary>Adds all that it says to a hash.</summary>
    public void AddTo(ref StableHash hash)
    {
        hash.Add((ulong)Name);
        hash.Add((ulong)(Name >> 64));
        hash.Add(Digest);
        hash.Add(((ulong)Slot.Value << 16) | ((ulong)Code << 8) | (Number is null ? 0UL : 1UL));
        hash.Add(((ulong)Version.SlotEpoch << 32) | Version.ModeEpoch);
        hash.Add(Version.Counter);
        hash.Add(Version.Sub);
        hash.Add((ulong)Number.GetValueOrDefault());
        hash.Add((ulong)DueMs);
    }
}
