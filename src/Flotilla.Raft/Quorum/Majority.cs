namespace Flotilla.Raft.Quorum;

/// <summary>What a vote count says so far.</summary>
public enum VoteResult
{
    /// <summary>Neither yet.</summary>
    Pending = 0,

    /// <summary>A majority said yes.</summary>
    Won = 1,

    /// <summary>A majority can no longer say yes.</summary>
    Lost = 2,
}

/// <summary>
/// The arithmetic of majorities (Raft paper, section 5.2): any two majorities of the same voters share one of them.
/// Pure, and apart from Raft so that it can be tested alone; joint consensus will ask it twice.
/// </summary>
public static class Majority
{
    /// <summary>How many of <paramref name="voters"/> make a majority.</summary>
    public static int Of(int voters) => voters / 2 + 1;

    /// <summary>The count of a vote among <paramref name="voters"/>.</summary>
    public static VoteResult Count(int voters, int yes, int no) =>
        yes >= Of(voters) ? VoteResult.Won
        : no > voters - Of(voters) ? VoteResult.Lost
        : VoteResult.Pending;

    /// <summary>
    /// The highest value that a majority has reached, given each voter's. Sorts <paramref name="values"/> in place.
    /// </summary>
    public static T Reached<T>(Span<T> values)
        where T : IComparable<T>
    {
        values.Sort();
        return values[values.Length - Of(values.Length)];
    }
}
