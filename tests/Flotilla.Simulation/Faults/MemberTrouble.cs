using Flotilla.Linearizability;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Simulation.Workload;
using Flotilla.Topology;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// All is well but for one member of one shard, that does not know what it is. First it is removed while it is cut off, and
/// once it is back it must disturb nobody, and learn what it is (hazard 21). Then it is added again, cut off at the moment
/// of its promotion, and comes back when the leader that promoted it is dead: its vote is needed, though its own log says
/// that it has none (hazard 22). At last a member loses its disk, and must be given its seats again, though the leader knows how far
/// the lost disk was (hazard 23).
/// </summary>
internal sealed class MemberTrouble
{
    /// <summary>Microseconds from the beginning to the end, at most.</summary>
    public const long LongestUs = (4 * PatienceUs) + FarewellUs + WatchUs + SettleUs + ServeUs + ReplaceUs;

    private const int Voters = 3;
    private const long PatienceUs = 5_000_000;
    private const long ReplaceUs = 10_000_000;
    private const long FarewellUs = 3_500_000;
    private const long WatchUs = 4_000_000;
    private const long SettleUs = 4_000_000;
    private const long ServeUs = 1_000_000;
    private const long AwayUs = 200_000;
    private const long LookEveryUs = 10_000;
    private readonly World _world;
    private readonly Workload.Workload _workload;
    private readonly Operator _operator;
    private readonly Action _over;
    private readonly ShardId _shard;
    private readonly List<NodeId> _members;
    private readonly SimulatedNode _victim;
    private Action<HostedReplica, Configuration>? _strikes;
    private bool _isPromoting = true;

    private MemberTrouble(World world, Workload.Workload workload, Operator @operator, Chance chance, Action over)
    {
        _world = world;
        _workload = workload;
        _operator = @operator;
        _over = over;
        _shard = chance.Pick(world.Shards).Shard;
        var first = chance.Below(world.Nodes.Count);
        _members = [.. Enumerable.Range(first, Voters).Select(i => world.Nodes[i % world.Nodes.Count].Id).Order()];
        _victim = world.NodeOf(chance.Pick(_members));
    }

    private HostedReplica OnVictim => World.ReplicaOn(_victim, _shard)!;

    /// <summary>Begins; everything else has been mended. <paramref name="over"/> is called at the end.</summary>
    public static void Begin(World world, Workload.Workload workload, Operator @operator, Chance chance, Action over)
    {
        var trouble = new MemberTrouble(world, workload, @operator, chance, over);
        world.AnswersGetLost = false;
        workload.Resting = chance.Hit(0.4);
        foreach (var shard in world.Shards)
        {
            @operator.Want(shard.Shard, trouble._members);
        }

        trouble.Await(trouble.HasMembers(trouble._members), trouble.Remove);
    }

    private void Remove()
    {
        _world.Count("lasting removal");
        _world.Say(OnVictim, "will be removed without knowing");
        CutOff(true);
        var others = _members.Where(id => id != _victim.Id).ToList();
        _operator.Want(_shard, others);
        Await(HasMembers(others), () => _world.Scheduler.After(FarewellUs, () =>
        {
            _world.Say(OnVictim, "is back, and no member any more");
            CutOff(false);
            Watch(_world.NewestTerm(_shard), _world.Scheduler.NowUs + WatchUs);
        }));
    }

    private void Watch(Term newest, long untilUs)
    {
        if (_world.NewestTerm(_shard) > newest)
        {
            throw new SimulationException($"MemberTrouble: somebody raises the term of shard {_shard} after {_victim.Id} was removed (hazard 21)");
        }

        if (_world.LeaderOf(_shard) is null)
        {
            throw new SimulationException($"MemberTrouble: nobody leads shard {_shard} after {_victim.Id} was removed (hazard 21)");
        }

        if (_world.Scheduler.NowUs < untilUs)
        {
            _world.Scheduler.After(LookEveryUs, () => Watch(newest, untilUs));
            return;
        }

        var raft = OnVictim.Replica.Raft;
        if (!raft.IsRemoved && raft.Configuration.IsVoter(_victim.Id))
        {
            throw new SimulationException($"MemberTrouble: {OnVictim.Name} was not told that it is no member any more (hazard 21)");
        }

        Promote();
    }

    private void Promote()
    {
        _strikes = _world.Reconfigured;
        _world.Reconfigured = (hosted, configuration) =>
        {
            if (_isPromoting && hosted.Genesis.Shard == _shard && hosted.Replica.Raft.Role == Role.Leader && configuration.Find(_victim.Id) is { Suffrage: Suffrage.Incoming })
            {
                _isPromoting = false;
                _world.Count("lasting promotion");
                _world.Say(OnVictim, "will be promoted without knowing");
                CutOff(true);
            }
        };
        _operator.Want(_shard, _members);
        Await(HasMembers(_members), () =>
        {
            var leader = _world.LeaderOf(_shard)!.Node;
            leader.Stop(power: true);
            CutOff(false);
            _world.Scheduler.After(SettleUs, () => Serve(leader));
        });
    }

    private void Serve(SimulatedNode dead)
    {
        var ended = false;
        var request = new ClientRequest(0, OperationKind.Put, _workload.Keys.Final.First(f => f.Shard == _shard).Key, $"promoted-{_shard}", 0, null, default, true, 0, _world.Scheduler.NowUs);
        _workload.Clients[0].Try(request, result => ended = result?.Code is ResultCode.Ok);
        _world.Scheduler.After(ServeUs, () =>
        {
            if (!ended)
            {
                throw new SimulationException($"MemberTrouble: shard {_shard} does not serve without {dead.Id} though {_victim.Id} was promoted (hazard 22)");
            }

            _world.StartIfDown(dead);
            Await(AllHaveMembers, Replace);
        });
    }

    private void Replace()
    {
        var lost = _world.NodeOf(_members.First(id => id != _world.LeaderOf(_shard)!.Node.Id));
        _world.Count("lasting loss");
        lost.Stop(power: true);
        lost.Wipe();
        _world.Scheduler.After(AwayUs, () => _world.StartIfDown(lost));
        var untilUs = _world.Scheduler.NowUs + ReplaceUs;
        void Look()
        {
            if (!lost.Wiped && AllHaveMembers())
            {
                End();
            }
            else if (_world.Scheduler.NowUs < untilUs)
            {
                _world.Scheduler.After(LookEveryUs, Look);
            }
            else
            {
                throw new SimulationException($"MemberTrouble: {lost.Id} lost its disk, and was not given its seats again within {ReplaceUs / 1_000_000} s (hazard 23)");
            }
        }

        Look();
    }

    private bool AllHaveMembers() => _world.Nodes.All(n => n.Up) && _world.Shards.All(s => HasMembers(s.Shard, _members)());

    private void Await(Func<bool> there, Action then)
    {
        var untilUs = _world.Scheduler.NowUs + PatienceUs;
        void Look()
        {
            if (there())
            {
                then();
            }
            else if (_world.Scheduler.NowUs < untilUs)
            {
                _world.Scheduler.After(LookEveryUs, Look);
            }
            else
            {
                // A slow transfer, for example. Not what is looked for here: the healing sees to it that members come and go in the end.
                _world.Count("member trouble given up");
                CutOff(false);
                End();
            }
        }

        Look();
    }

    // These are the members, as voters, and a leader other than the victim knows that to be committed.
    private Func<bool> HasMembers(List<NodeId> members) => HasMembers(_shard, members);

    private Func<bool> HasMembers(ShardId shard, List<NodeId> members) => () =>
        _world.LeaderOf(shard) is { } leader && leader.Replica.Raft.CommittedConfiguration.Configuration is { IsJoint: false } configuration
        && leader.Replica.Raft.ConfigurationIndex <= leader.Replica.Raft.CommitIndex && configuration.Voters.SequenceEqual(members) && configuration.Members.Count == members.Count
        && (leader.Node != _victim || members.Count == Voters);

    private void CutOff(bool cut)
    {
        foreach (var other in _world.Nodes.Where(n => n != _victim))
        {
            _world.Network.SetLastingCut(_victim.Number, other.Number, cut);
            _world.Network.SetLastingCut(other.Number, _victim.Number, cut);
        }
    }

    private void End()
    {
        _world.Reconfigured = _strikes ?? _world.Reconfigured;
        _world.AnswersGetLost = true;
        _workload.Resting = false;
        _world.Transcript.Line("the trouble with members is over");
        _over();
    }
}
