using Flotilla.Raft;

namespace Flotilla.Storage.Segments;

/// <summary>A group that holds back the oldest segment of the log, and every later one with it.</summary>
/// <param name="Group">The group.</param>
/// <param name="Through">Its last entry in that segment: a release up to here frees the segment of this group.</param>
/// <param name="SegmentsBehind">How many segments were begun since, the current one among them; at least 1.</param>
public readonly record struct SegmentPin(GroupId Group, LogIndex Through, int SegmentsBehind);
