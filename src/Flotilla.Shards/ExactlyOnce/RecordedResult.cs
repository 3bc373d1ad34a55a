using Flotilla.Data;
using Flotilla.Topology;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// The result of a write that was executed, kept so that the write is never executed again. Only outcomes of execution
/// are kept; a refusal had no effect, and the next attempt may find that it fits.
/// </summary>
/// <param name="Sequence">Which write of its session.</param>
/// <param name="Slot">The slot of the write's key: at a handoff the result goes with it.</param>
/// <param name="Code">How it ended.</param>
/// <param name="Version">The version in the answer.</param>
/// <param name="Value">The value in the answer, at most <see cref="MaxValueBytes"/>; null for none.</param>
internal readonly record struct RecordedResult(ulong Sequence, Slot Slot, ResultCode Code, Data.Version Version, byte[]? Value)
{
    /// <summary>No result that is kept holds a longer value, in bytes: the number of an increment has 20 at most.</summary>
    public const int MaxValueBytes = 64;

    /// <summary>The answer, as it was given the first time. Its value is a copy.</summary>
    public CommandResult Answer => new(Code, Version, Value?.ToArray());

    /// <summary>What is to be kept of an answer.</summary>
    public static RecordedResult Of(ulong sequence, Slot slot, in CommandResult result) =>
        MayBeKept(result.Code, result.Value.Length)
            ? new RecordedResult(sequence, slot, result.Code, result.Version, result.Value.IsEmpty ? null : result.Value.ToArray())
            : throw new InvalidOperationException($"An outcome {result.Code} with {result.Value.Length} bytes is not one of execution.");

    /// <summary>True for outcomes of execution.</summary>
    public static bool MayBeKept(ResultCode code, int valueBytes) =>
        code is ResultCode.Ok or ResultCode.NotFound or ResultCode.VersionMismatch or ResultCode.BadRequest && valueBytes <= MaxValueBytes;
}
