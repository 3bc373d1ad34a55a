using System.Globalization;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Scenarios;

/// <summary>How steps and messages read in a transcript. Slots go by their hash tags.</summary>
internal static class StepText
{
    private static readonly Dictionary<ushort, string> Tags = "abcdefgh".ToDictionary(c => Slot.Of(B($"{{{c}}}")).Value, c => c.ToString());

    public static string Of(SlotSet slots) => slots.IsEmpty ? "-" : string.Join(',', slots.Slots().Select(s => Tags.GetValueOrDefault(s.Value, s.ToString())).Order(StringComparer.Ordinal));

    public static string Of(SlotEpochs slots) =>
        slots.Count == 0 ? "-" : string.Join(' ', slots.Entries().Select(e => $"{Tags.GetValueOrDefault(e.Slot.Value, e.Slot.ToString())}:{e.Epoch}").Order(StringComparer.Ordinal));

    public static string Of(HandoffStep step) => step switch
    {
        HandoffStep.Begin s => $"Begin to {s.TargetShard} {Of(s.Slots)}",
        HandoffStep.Cancel s => $"Cancel {s.Move}",
        HandoffStep.Freeze s => $"Freeze {s.Move}",
        HandoffStep.Release s => $"Release {s.Move}",
        HandoffStep.Unfreeze s => $"Unfreeze {s.Move}",
        HandoffStep.Close s => $"Close {s.Move}",
        HandoffStep.Open s => $"Open {Of(s.Id)} {s.Attempt} {Of(s.Slots)}",
        HandoffStep.Stage s => $"Stage {Of(s.Id)} {s.Attempt} chunk {s.Number} {Of(s.Items)}",
        HandoffStep.Prepare s => $"Prepare {Of(s.Id)} {s.Attempt}",
        HandoffStep.Accept s => $"Accept {Of(s.Id)} {s.Attempt} of {s.Chunks} chunks, log time {s.LogTimeMs}",
        HandoffStep.Abort s => $"Abort {Of(s.Id)}",
        HandoffStep.Settle s => $"Settle {s.Source.Value - 100} up to {s.Floor}",
        HandoffStep.Purge s => $"Purge walk {s.Walk} from '{Text(s.From)}' to '{Text(s.To)}'",
        HandoffStep.SetState s => $"SetState {s.State}",
        _ => step.ToString(),
    };

    public static string Of(HandoffMessage message) => message switch
    {
        HandoffMessage.Offer m => $"Offer {Of(m.Id)} {m.Attempt} {Of(m.Slots)}",
        HandoffMessage.Data m => $"Data {Of(m.Id)} {m.Attempt} chunk {m.Number} {Of(m.Items)}",
        HandoffMessage.Ready m => $"Ready {Of(m.Id)} {m.Attempt}",
        HandoffMessage.Decide m => $"Decide {Of(m.Id)} {m.Attempt} of {m.Chunks} chunks",
        HandoffMessage.GiveUp m => $"GiveUp {Of(m.Id)}",
        HandoffMessage.Over m => $"Over {Of(m.Id)}, floor {m.Floor}",
        HandoffMessage.Answer m => $"Answer {Of(m.Id)} {m.State}{(m.State is TargetState.Staging or TargetState.Prepared ? $" {m.Attempt} has {m.Chunks}" : "")}{(m.Digests is { } d ? $" ({d.Count(x => x != 0)} slots with something staged)" : "")}",
        _ => message.ToString(),
    };

    public static string Of(HandoffId id) => string.Create(CultureInfo.InvariantCulture, $"{id.Source.Value - 100}/{id.Begin}");

    private static string Of(ReadOnlyMemory<byte> chunk) => "[" + string.Join(' ', Chunk.Read(chunk).Select(i => i.Kind switch
    {
        ChunkItemKind.Reset => $"reset:{Of(SlotSet.Of([i.Slot]))}",
        ChunkItemKind.Record => $"{Text(i.Key)}={Text(i.Value)}@{i.Version}{(i.ExpiresAtMs == 0 ? "" : $" until {i.ExpiresAtMs}")}",
        ChunkItemKind.Gone => $"{Text(i.Key)} gone",
        ChunkItemKind.Key => $"a key in {Of(SlotSet.Of([i.KeyRecord.Slot]))}",
        ChunkItemKind.SessionsAnew => "sessions:",
        ChunkItemKind.Session => $"{i.Session!.Origin.Value - 100}.{i.Session.Id} mark={i.Session.Mark}",
        _ => $"result {i.Result.Sequence} {i.Result.Code}",
    })) + "]";
}
