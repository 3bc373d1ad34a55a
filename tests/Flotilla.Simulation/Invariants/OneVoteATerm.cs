using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>A data directory votes for one candidate a term, over restarts too, and tells nobody before the vote is durable (hazard 2).</summary>
public sealed class OneVoteATerm : Invariant
{
    private readonly Dictionary<(ShardId Shard, Incarnation Voter, Term Term), NodeId> _votes = [];

    /// <inheritdoc/>
    public override void Sending(HostedReplica hosted, NodeId to, Message message)
    {
        if (message is RequestVoteReply { PreVote: false, Granted: true } vote)
        {
            Check(hosted, vote.Term, to);
            // The disk may be in a later term already: then it held this vote before, or in the same batch.
            if (hosted.DurableState.Term < vote.Term || (hosted.DurableState.Term == vote.Term && hosted.DurableState.VotedFor != to))
            {
                throw Broken($"{hosted.Name} tells {to} of a vote in {vote.Term}, but its disk says {hosted.DurableState}");
            }
        }
    }

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        if (hosted.Replica.Raft.Role == Role.Leader)
        {
            Check(hosted, hosted.Replica.Raft.Term, hosted.Node.Id);
        }
    }

    private void Check(HostedReplica hosted, Term term, NodeId candidate)
    {
        var key = (hosted.Genesis.Shard, hosted.Node.Incarnation, term);
        if (!_votes.TryAdd(key, candidate) && _votes[key] != candidate)
        {
            throw Broken($"{hosted.Name} votes for {candidate} in {term} after it voted for {_votes[key]}");
        }
    }
}
